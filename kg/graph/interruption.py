"""Ctrl-C and SIGTERM wait until the driver is done with a transaction."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in dir(signal)]


@contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """Handle signals after the block, or where it calls the function that it is given.

    A KeyboardInterrupt inside the driver leaves its buffers and connections half-way, and what it
    then does to tidy up fails in turn and hides the interruption. A second signal is not held
    back: whoever presses Ctrl-C twice won't wait. Outside the main thread this does nothing, since
    Python handles signals in the main one.
    """
    waiting: list[tuple[int, FrameType | None]] = []
    handlers: dict[int, Callable[[int, FrameType | None], object]] = {}

    def wait(number: int, frame: FrameType | None) -> None:
        if waiting:
            handlers[number](number, frame)
        waiting.append((number, frame))

    def handle() -> None:
        if waiting:
            number, frame = waiting[0]
            handlers[number](number, frame)

    if threading.current_thread() is threading.main_thread():
        handlers = {n: h for n in SIGNALS if callable(h := signal.getsignal(n))}
    try:
        for number in handlers:
            signal.signal(number, wait)
        yield handle
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        handle()
