"""The official neo4j driver, imported light and opened our way."""

import logging
import sys
from typing import Final

from kg._version import __version__

# The driver imports pandas when it finds it, for 0.7 s, only to accept its types as parameters.
_hide_pandas = "pandas" not in sys.modules
if _hide_pandas:
    sys.modules["pandas"] = None  # type: ignore[assignment]
try:
    import neo4j
    import neo4j.exceptions
    import neo4j.graph
    import neo4j.spatial
    import neo4j.time
finally:
    if _hide_pandas:
        del sys.modules["pandas"]

__all__ = ["neo4j", "open_driver"]

# Without a handler of its own the driver's warnings would end on stderr.
logging.getLogger("neo4j").addHandler(logging.NullHandler())

CONNECT_SECONDS: Final = 4.0
ACQUIRE_SECONDS: Final = 8.0
RETRY_SECONDS: Final = 20.0


def open_driver(uri: str, username: str, password: str) -> neo4j.Driver:
    """Make a driver; it connects at first use, and gives up within 10 s.

    Raises:
        neo4j.exceptions.DriverError, ValueError: the address can't be used.
    """
    return neo4j.GraphDatabase.driver(
        uri,
        auth=(username, password),
        connection_timeout=CONNECT_SECONDS,
        connection_acquisition_timeout=ACQUIRE_SECONDS,
        max_transaction_retry_time=RETRY_SECONDS,
        notifications_min_severity="OFF",
        telemetry_disabled=True,
        user_agent=f"kg/{__version__}",
    )
