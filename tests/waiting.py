"""What tests wait with: conditions instead of times, and work that no machine gets done.

Nothing here depends on how fast a machine is, or how busy: a deadline is only met by a test that
fails anyway.
"""

import time
from collections.abc import Callable
from typing import Final

import psutil

DEADLINE: Final = 600.0
"""Seconds: a hundred times what anything takes that is waited for."""

ENDLESS: Final = (
    "UNWIND range(1, 30000) AS a UNWIND range(1, 30000) AS b UNWIND range(1, 30000) AS c "
    "RETURN sum(a * b * c % 7)"
)
"""A query of 27 million million rows: a fast machine does thirty million in a second."""


def until(condition: Callable[[], object], what: str = "what was waited for didn't come") -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def ended(pid: int) -> bool:
    """Whether a process is no more; one that only waits to be reaped has ended."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
