"""The explorer as a server on this machine."""

import contextlib
import errno
import secrets
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kg.errors import KgError, WrongUsageError

if TYPE_CHECKING:
    from kg.library import Library

LOOPBACK: Final = "127.0.0.1"
PORT: Final = 8765
# Seconds that answers under way are given when it ends: a song may be playing.
_LAST_ANSWERS: Final = 1


def serve(
    library: "Library",
    port: int | None = None,
    ready: Callable[[str, str], None] = lambda address, once: None,
) -> None:
    """Serve the explorer on loopback until Ctrl-C or SIGTERM.

    Args:
        library: What is explored.
        port: Where; 0: any that is free; None: `PORT`, or any that is free where that is taken.
        ready: Told two addresses once they answer: of the first one the token is good for as long
            as this runs, of the second for one visit. Others can read a browser's command line.

    Raises:
        NotReadyError: nothing was ingested.
        WrongUsageError: the port is taken, or can't be used.
        KgError: what it is made of isn't installed.
    """
    try:
        import uvicorn

        from kg.explore.app import explorer
    except ModuleNotFoundError as error:
        raise KgError(
            f"Exploring needs {error.name}: install it with pip install 'kg-music[explore]'."
        ) from error
    library.features()
    listening = listen(port)
    try:
        port = listening.getsockname()[1]
        token, once = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        config = uvicorn.Config(
            explorer(library, token, port, once),
            log_config=None,
            # What goes wrong is said on the page: kg.explore.failures.
            log_level="critical",
            access_log=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=_LAST_ANSWERS,
        )
        # Whoever asks from now on waits in the socket's queue.
        ready(*(f"http://{LOOPBACK}:{port}/?token={each}" for each in (token, once)))
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()


def listen(port: int | None) -> socket.socket:
    """A socket that listens on loopback."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # A port whose last owner has just left is free.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, PORT if port is None else port))
        listening.listen()
    except OSError as error:
        listening.close()
        if port is None:
            return listen(0)
        taken = error.errno == errno.EADDRINUSE
        why = "is in use by another program" if taken else f"can't be used ({error.strerror})"
        raise WrongUsageError(
            f"Port {port} {why}: name another one with --port, or none for one that is free."
        ) from error
    return listening
