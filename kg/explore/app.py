"""The explorer's addresses, and the pages at them."""

import asyncio
import contextlib
import json
import math
import threading
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qs, quote, urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from kg.errors import KgError
from kg.explore import songs, sound
from kg.explore.cells import cell
from kg.explore.desk import Desk
from kg.explore.failures import failed, no_file
from kg.explore.guard import Guard
from kg.explore.listening import Ears
from kg.explore.notices import Notice, Notices
from kg.explore.pages import page
from kg.explore.points import MapMaker
from kg.graph import queries
from kg.graph.proposals import Proposal, UnknownGenreError
from kg.graph.transactions import read_rows
from kg.text import printable

if TYPE_CHECKING:
    from kg.library import Library

T = TypeVar("T")

# Rows of an answer, and proposals, that a page shows.
ROWS, WAITING = 500, 20
# Seconds that a query may take.
PATIENCE: Final = 30.0
# Songs above which nothing that reads the whole graph is done unasked.
MANY: Final = 5_000
# Bytes of what a form may send.
_FORM: Final = 1 << 16
# Seconds between two looks at whether somebody still waits for an answer.
_LOOK: Final = 0.2


def explorer(library: "Library", token: str, port: int, once: str = "") -> Starlette:
    """The explorer of a library at 127.0.0.1:port, for whoever has a token.

    Args:
        library: What is explored.
        token: Lets in as often as it is brought.
        port: Where it is served.
        once: Lets in once; empty: there is none.
    """
    own, ears = Explorer(library), Ears(library)
    static = StaticFiles(directory=str(files("kg.explore") / "static"))
    song = "/song/{id:str}"
    return Starlette(
        routes=[
            Route("/", own.search),
            Route(song, own.song),
            Route(song + "/evidence", own.evidence),
            Route(song + "/neighbours", own.neighbours),
            *ears.routes(song),
            Route("/map", own.map),
            Route("/map/points", own.points),
            Route("/review", own.review),
            Route("/ask", own.ask),
            Route("/decide", own.decide, methods=["POST"]),
            Mount("/static", static),
        ],
        middleware=[
            Middleware(Guard, token=token, port=port, once=once),
            Middleware(ServerErrorMiddleware, handler=failed),
        ],
        exception_handlers={KgError: failed, OSError: failed, HTTPException: failed},
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
        self._notices = Notices()

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Get ready beside the first answers, and begin nothing more at the end."""
        warming = threading.Thread(target=self._warm, daemon=True, name="warm")
        warming.start()
        yield
        self._map.close()
        await asyncio.to_thread(self._desk.close)
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
            request,
            "search.html",
            "Songs",
            genres=counted,
            total=self._songs(),
            query=_query,
            longest=songs.LONGEST_WORDS,
            **shown,
        )

    def song(self, request: Request) -> Response:
        """One song."""
        shown = songs.show(self._library, request.path_params["id"])
        file = sound.there(shown.paths)
        slow = shown.trained and self._songs() > MANY
        return self._page(
            request,
            "song.html",
            shown.title,
            song=shown,
            kind=None if file is None else sound.PLAYED.get(file.suffix.lower()),
            there=file is not None,
            other=file is not None and sound.is_another(file, shown.contents),
            marks=sound.marks(),
            part=self._part(shown),
            slow=slow,
            names=[name for name, _ in songs.genres(self._library.connection)],
        )

    def evidence(self, request: Request) -> Response:
        """Why a song has its genres: a part of its page."""
        id = request.path_params["id"]
        if songs.show(self._library, id).trained:
            with self._desk.alone():  # it reads the graph as a whole
                found = self._library.explain(id)
        else:
            found = self._library.explain(id)
        return HTMLResponse(page("evidence.html", found=found))

    def neighbours(self, request: Request) -> Response:
        """Songs like a song: a part of its page."""
        found = self._library.similar(request.path_params["id"])
        return HTMLResponse(page("neighbours.html", found=found))

    def map(self, request: Request) -> Response:
        """The page around the map."""
        return self._page(request, "map.html", "Map", song=request.query_params.get("song", ""))

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
            request,
            "review.html",
            "Review",
            waiting=shown,
            total=len(waiting),
            page=number,
            pages=pages,
            called=_called,
        )

    async def ask(self, request: Request) -> Response:
        """The user's own queries; one ends when its page is left."""
        return await _while_wanted(request, lambda unwanted: self._ask(request, unwanted))

    def _ask(self, request: Request, unwanted: threading.Event) -> Response:
        cypher = request.query_params.get("cypher", "")
        answer, error = None, None
        if cypher.strip():
            try:
                answer = self._library.ask(cypher, timeout=PATIENCE, most=ROWS, unwanted=unwanted)
            except KgError as wrong:
                error = str(wrong)
        return self._page(
            request,
            "ask.html",
            "Cypher",
            cypher=cypher,
            error=error,
            answer=answer,
            rows=[] if answer is None else [[cell(value) for value in row] for row in answer.rows],
            patience=f"{PATIENCE:.0f}",
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
        notice = await run_in_threadpool(self._decide, asked)
        self._map.outdated()
        back = _back(asked)
        said = f"{'&' if '?' in back else '?'}said={self._notices.keep(notice)}"
        return RedirectResponse(back + said, status_code=303)

    # --- plumbing --------------------------------------------------------------------------------

    def _page(self, request: Request, name: str, title: str, **values: Any) -> Response:
        notice = self._notices.take(request.query_params.get("said"))
        return HTMLResponse(page(name, title=title, here=name, notice=notice, **values))

    def _warm(self) -> None:
        """Get what the second page needs while the first one is looked at."""
        self._map.points()
        with contextlib.suppress(KgError):
            if self._songs() > MANY:
                self._desk.prepare()
        with contextlib.suppress(Exception):  # who needs it meets what is wrong, and says it
            import models.attribution  # noqa: F401

    def _part(self, shown: songs.Shown) -> tuple[float, float]:
        """Seconds into a song where that begins which kg listens to, and how many they are."""
        kinds = self._library.store.feature_set()
        excerpt = None if kinds is None else kinds.excerpt
        seconds = shown.duration if excerpt is None else min(excerpt, shown.duration)
        return round((shown.duration - seconds) / 2, 3), round(max(seconds, 0.01), 3)

    def _songs(self) -> int:
        return int(read_rows(self._library.connection, queries.COUNT_NODES["songs"])[0]["n"])

    def _decide(self, asked: dict[str, list[str]]) -> Notice:
        def one(key: str) -> str:
            return asked.get(key, [""])[0]

        song, genre, seen = one("song"), one("genre"), asked.get("seen", [])
        try:
            match one("action"):
                case "accept" | "beside" as action:
                    beside, new = action == "beside", "new" in asked
                    done = self._desk.accept(song, genre, seen, beside=beside, new=new)
                    said = f"is filed under {', '.join(done.after)} now"
                case "reject":
                    done = self._desk.reject(song, genre, seen)
                    said = f"is never proposed for {done.genre} again"
                case "undo":
                    done = self._desk.undo(song or None)
                    said = f"is filed under {', '.join(done.after) or 'no genre'} again"
                case _:
                    return Notice("Nothing was decided: no such decision.", wrong=True)
        except UnknownGenreError as error:
            return Notice(f"{error.said} Tick \u201ca new genre\u201d to make it.", wrong=True)
        except KgError as error:
            return Notice(str(error), wrong=True)
        except OSError as error:
            return Notice(no_file(error), wrong=True)
        text = printable(f"{done.title or song[:12]} {said}.")
        return Notice(text, song=None if done.state == "open" else done.song)


async def _while_wanted(request: Request, work: Callable[[threading.Event], T]) -> T:
    """Do what takes long in a thread, and tell it once the browser has gone."""
    unwanted = threading.Event()
    doing = asyncio.ensure_future(run_in_threadpool(work, unwanted))
    try:
        while not doing.done():
            await asyncio.wait({doing}, timeout=_LOOK)
            if await request.is_disconnected():
                unwanted.set()
        return await doing
    finally:
        unwanted.set()


def _called(proposal: Proposal) -> str:
    path = proposal.paths[0] if proposal.paths else None
    return songs.called(proposal.title, path, proposal.song)


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
