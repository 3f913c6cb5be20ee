"""What a page says where something went wrong; never a traceback."""

import logging
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from kg.errors import AudioError, GraphError, KgError, NotReadyError, WrongUsageError
from kg.explore.desk import BusyError
from kg.explore.pages import page
from kg.explore.songs import GoneError
from kg.graph.proposals import DecidedError
from kg.text import printable

_log = logging.getLogger(__name__)

# What Starlette says of these by itself.
_SENTENCES = {
    HTTPStatus.NOT_FOUND: "There is no such page.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address can't be asked that way.",
}


def failed(request: Request, error: Exception) -> Response:
    """Say what went wrong, on a page or in a part of one."""
    status, sentence = _told(error)
    if request.url.path.endswith(("/evidence", "/neighbours")):
        return HTMLResponse(page("missing.html", sentence=sentence))
    if "part" in request.query_params:
        return HTMLResponse(page("missing.html", sentence=sentence), status)
    # What the page is for may be what fails: it asks the library for nothing.
    name = "error.html"
    return HTMLResponse(
        page(name, title="That didn't work", sentence=sentence, here="", notice=None), status
    )


def no_file(error: OSError) -> str:
    """Say that the system refuses: a full disk, a home folder that is gone."""
    where = f": {printable(error.filename)}" if error.filename else ""
    return f"{error.strerror or error}{where}."


def unforeseen(error: Exception) -> str:
    """Say that kg itself is wrong somewhere, and where more is said."""
    _log.debug("the explorer failed", exc_info=error)
    what = printable(f"{type(error).__name__}: {error}")
    return f"Something went wrong inside kg ({what}). `kg --verbose explore` says where."


def _told(error: Exception) -> tuple[int, str]:
    """What an error is to HTTP, and to people."""
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        plain = error.detail == status.phrase
        return status, _SENTENCES.get(status, error.detail) if plain else error.detail
    if isinstance(error, KgError):
        return _status(error), str(error)
    if isinstance(error, OSError):
        return HTTPStatus.INTERNAL_SERVER_ERROR, no_file(error)
    return HTTPStatus.INTERNAL_SERVER_ERROR, unforeseen(error)


def _status(error: KgError) -> int:
    if isinstance(error, GoneError | AudioError):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, DecidedError | BusyError | NotReadyError):
        return HTTPStatus.CONFLICT
    if isinstance(error, WrongUsageError):
        return HTTPStatus.BAD_REQUEST
    return (
        HTTPStatus.BAD_GATEWAY
        if isinstance(error, GraphError)
        else HTTPStatus.INTERNAL_SERVER_ERROR
    )
