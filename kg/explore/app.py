"""The explorer's addresses, and what answers at each."""

import asyncio
import json
import math
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote, urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from kg.errors import AudioError, GraphError, KgError, NotReadyError, WrongUsageError
from kg.explore import songs, sound
from kg.explore.desk import BusyError, Desk
from kg.explore.guard import Guard
from kg.explore.pages import page
from kg.explore.points import MapMaker
from kg.graph import queries
from kg.graph.proposals import DecidedError, Proposal
from kg.graph.transactions import read_rows
from kg.text import printable

if TYPE_CHECKING:
    from kg.library import Library

# Rows of an answer, and proposals, that a page shows.
ROWS, WAITING = 500, 20
# Seconds that a query may take.
PATIENCE: Final = 30.0
# Songs above which nothing that reads the whole graph is done unasked.
MANY: Final = 5_000
# Bytes of what a form may send.
_FORM: Final = 1 << 16
# Songs whose sound is kept.
_KEPT: Final = 16


def explorer(library: "Library", token: str, port: int) -> Starlette:
    """The explorer of a library, for whoever has the token, at 127.0.0.1:port."""
    own = Explorer(library)
    static = StaticFiles(directory=str(files("kg.explore") / "static"))
    song = "/song/{id:str}"
    return Starlette(
        routes=[
            Route("/", own.search),
            Route(song, own.song),
            Route(song + "/evidence", own.evidence),
            Route(song + "/neighbours", own.neighbours),
            Route(song + "/audio", own.audio),
            Route(song + "/heard.wav", own.heard),
            Route(song + "/spectrogram.png", own.spectrogram),
            Route("/map", own.map),
            Route("/map/points", own.points),
            Route("/review", own.review),
            Route("/ask", own.ask),
            Route("/decide", own.decide, methods=["POST"]),
            Mount("/static", static),
        ],
        middleware=[Middleware(Guard, token=token, port=port)],
        exception_handlers={KgError: own.failed, HTTPException: own.failed},
        lifespan=own.lifespan,
    )


class Explorer:
    """What the pages share: the library, the review's queue, the map.

    Handlers that aren't `async` run in threads of their own.
    """

    def __init__(self, library: "Library") -> None:
        self._library = library
        self._desk = Desk(library)
        self._map = MapMaker(library)
        self._ears = threading.Lock()
        self._kept = lru_cache(_KEPT)(self._listen)
        # What the next page says first: the outcome of a decision, and whether it went wrong.
        self._notice: tuple[str, bool] | None = None

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Get ready beside the first answers, and begin nothing more at the end."""
        warming = threading.Thread(target=self._warm, daemon=True, name="warm")
        warming.start()
        yield
        self._map.close()
        # An import that the interpreter's end overtakes dies with a traceback.
        await asyncio.to_thread(warming.join)

    # --- pages -----------------------------------------------------------------------------------

    def search(self, request: Request) -> Response:
        """Songs by words and genre."""
        asked = request.query_params
        text, genre = asked.get("q", ""), asked.get("genre") or None
        number = _number(asked.get("page"))
        found, more = songs.search(self._library.connection, text, genre, number)
        shown = {"songs": found, "more": more, "page": number, "q": text, "genre": genre}
        if "part" in asked:
            return HTMLResponse(page("found.html", query=_query, **shown))
        counted = songs.genres(self._library.connection)
        return self._page(
            "search.html", "Songs", genres=counted, total=self._songs(), query=_query, **shown
        )

    def song(self, request: Request) -> Response:
        """One song."""
        shown = self._shown(request)
        file = sound.there(shown.paths)
        slow = shown.trained and self._songs() > MANY
        return self._page(
            "song.html",
            shown.title,
            song=shown,
            kind=None if file is None else sound.PLAYED.get(file.suffix.lower()),
            there=file is not None,
            marks=sound.marks(),
            part=self._part(shown),
            slow=slow,
            names=[name for name, _ in songs.genres(self._library.connection)],
        )

    def evidence(self, request: Request) -> Response:
        """Why a song has its genres: a part of its page."""
        with self._desk.alone():  # it may read the graph as a whole
            found = self._library.explain(request.path_params["id"])
        return HTMLResponse(page("evidence.html", found=found))

    def neighbours(self, request: Request) -> Response:
        """Songs like a song: a part of its page."""
        found = self._library.similar(request.path_params["id"])
        return HTMLResponse(page("neighbours.html", found=found))

    def map(self, request: Request) -> Response:
        """The page around the map."""
        return self._page("map.html", "Map", song=request.query_params.get("song", ""))

    def points(self, request: Request) -> Response:
        """All points of the map; 202: it is being made."""
        points = self._map.points()
        if points.document is not None:
            return Response(points.document, media_type="application/json")
        told = {"error": points.error}
        return Response(
            json.dumps(told), 202 if points.error is None else 409, media_type="application/json"
        )

    def review(self, request: Request) -> Response:
        """What waits for the owner's word."""
        waiting = self._desk.waiting()
        pages = max(1, math.ceil(len(waiting) / WAITING))
        number = min(_number(request.query_params.get("page")), pages - 1)
        shown = waiting[number * WAITING : (number + 1) * WAITING]
        return self._page(
            "review.html",
            "Review",
            waiting=shown,
            total=len(waiting),
            page=number,
            pages=pages,
            called=_called,
        )

    def ask(self, request: Request) -> Response:
        """The user's own queries."""
        cypher = request.query_params.get("cypher", "")
        answer, error = None, None
        if cypher.strip():
            try:
                answer = self._library.ask(cypher, timeout=PATIENCE)
            except KgError as failed:
                error = str(failed)
        rows = (
            [] if answer is None else [[_cell(cell) for cell in row] for row in answer.rows[:ROWS]]
        )
        return self._page(
            "ask.html",
            "Cypher",
            cypher=cypher,
            error=error,
            answer=answer,
            rows=rows,
            most=ROWS,
            examples=[(what, text.strip()) for what, text in queries.EXAMPLES.items()],
        )

    async def decide(self, request: Request) -> Response:
        """Accept, reject or undo, and back to the page that asked."""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _FORM:
                raise HTTPException(413, "That is more than a decision needs.")
        asked = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
        self._notice = await run_in_threadpool(self._decide, asked)
        self._map.outdated()
        return RedirectResponse(_back(asked), status_code=303)

    # --- sound -----------------------------------------------------------------------------------

    def audio(self, request: Request) -> Response:
        """A song's file, or a range of it; only what is called like audio."""
        file = sound.there(self._shown(request).paths)
        kind = None if file is None else sound.PLAYED.get(file.suffix.lower())
        if file is None or kind is None:
            raise HTTPException(404, "The song's file is gone, or no browser plays it.")
        return FileResponse(file, media_type=kind)

    def heard(self, request: Request) -> Response:
        """What kg heard of a song, as every browser plays it."""
        return Response(self._hear(request).wave, media_type="audio/wav")

    def spectrogram(self, request: Request) -> Response:
        """A picture of the same."""
        return Response(self._hear(request).picture, media_type="image/png")

    def _hear(self, request: Request) -> sound.Heard:
        with self._ears:  # picture and sound are asked for at once, and are one decoding
            return self._kept(request.path_params["id"])

    def _listen(self, id: str) -> sound.Heard:
        file = sound.there(songs.show(self._library, id).paths)
        if file is None:
            raise AudioError("The song's file is gone.")
        kinds = self._library.store.feature_set()
        return sound.hear(file, None if kinds is None else kinds.excerpt)

    # --- plumbing --------------------------------------------------------------------------------

    def failed(self, request: Request, error: Exception) -> Response:
        """Say what went wrong, on a page or in a part of one."""
        status = error.status_code if isinstance(error, HTTPException) else _status(error)
        sentence = str(error.detail if isinstance(error, HTTPException) else error)
        if status == 404 and isinstance(error, HTTPException) and error.detail == "Not Found":
            sentence = "There is no such page."
        if request.url.path.endswith(("/evidence", "/neighbours")):
            return HTMLResponse(page("missing.html", sentence=sentence))
        # What the page is for may be what fails: it asks the library for nothing.
        name = "error.html"
        return HTMLResponse(
            page(name, title="That didn't work", sentence=sentence, here="", notice=None), status
        )

    def _page(self, name: str, title: str, **values: Any) -> Response:
        notice, self._notice = self._notice, None
        return HTMLResponse(page(name, title=title, here=name, notice=notice, **values))

    def _shown(self, request: Request) -> songs.Shown:
        return songs.show(self._library, request.path_params["id"])

    def _warm(self) -> None:
        """Import what the second page needs while the first one is looked at; draw the map."""
        import models.attribution  # noqa: F401

        self._map.points()

    def _part(self, shown: songs.Shown) -> tuple[float, float]:
        """Seconds into a song where that begins which kg listens to, and how many they are."""
        kinds = self._library.store.feature_set()
        excerpt = None if kinds is None else kinds.excerpt
        seconds = shown.duration if excerpt is None else min(excerpt, shown.duration)
        return round((shown.duration - seconds) / 2, 3), round(max(seconds, 0.01), 3)

    def _songs(self) -> int:
        return int(read_rows(self._library.connection, queries.COUNT_NODES["songs"])[0]["n"])

    def _decide(self, asked: dict[str, list[str]]) -> tuple[str, bool]:
        def one(key: str) -> str:
            return asked.get(key, [""])[0]

        song, genre, seen = one("song"), one("genre"), asked.get("seen", [])
        try:
            match one("action"):
                case "accept" | "beside" as action:
                    done = self._desk.accept(song, genre, seen, beside=action == "beside")
                    said = f"is filed under {', '.join(done.after)} now"
                case "reject":
                    done = self._desk.reject(song, genre, seen)
                    said = f"is never proposed for {done.genre} again"
                case "undo":
                    done = self._desk.undo(song or None)
                    said = f"is filed under {', '.join(done.after) or 'no genre'} again"
                case _:
                    return "Nothing was decided: no such decision.", True
        except KgError as error:
            return str(error), True
        return printable(f"{done.title or song[:12]} {said}."), False


def _called(proposal: Proposal) -> str:
    path = proposal.paths[0] if proposal.paths else None
    return songs.called(proposal.title, path, proposal.song)


def _status(error: Exception) -> int:
    if isinstance(error, songs.GoneError | AudioError):
        return 404
    if isinstance(error, DecidedError | BusyError | NotReadyError):
        return 409
    if isinstance(error, WrongUsageError):
        return 400
    return 502 if isinstance(error, GraphError) else 500


def _number(text: str | None) -> int:
    """A page's number, from 0; what is none is the first."""
    return int(text) if text is not None and text.isdecimal() and len(text) < 8 else 0


def _query(**values: Any) -> str:
    """What stands behind an address: `?q=miles&page=2`, without what is empty."""
    kept = {key: str(value) for key, value in values.items() if value}
    return f"?{urlencode(kept, errors='backslashreplace')}" if kept else ""


def _back(asked: dict[str, list[str]]) -> str:
    """The page that a form names, where it is one of ours."""
    path, _, query = asked.get("back", [""])[0].partition("?")
    if path != "/review" and not path.startswith("/song/"):
        return "/review"
    return quote(path) + (f"?{quote(query, safe='=&')}" if query else "")


def _cell(value: Any) -> str:
    """A value of an answer, for people."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=_cell)
    return str(value)
