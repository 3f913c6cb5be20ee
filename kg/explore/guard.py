"""Who may ask: a browser of this machine that knows the token, and no page of anybody else's.

What listens on loopback can be reached by every page in the browser: by name (a DNS name that is
made to point here), by forms and pictures on pages elsewhere, or by guessing the port. So a request
must name us by our own address, come from no other origin, and bring the token: in the URL at
first, from then on in a cookie that no script can read and no other site's request carries.
"""

import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, quote, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN: Final = "token"
"""The token's name in the URL of the first visit."""

HEADERS: Final[Mapping[str, str]] = {
    # Lengths of bars are styles of their elements.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self'; media-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_SAFE: Final = frozenset({"GET", "HEAD"})
_OWN_SITE: Final = frozenset({"same-origin", "none"})


class Guard:
    """Lets requests of our own pages through, and refuses all others with a sentence."""

    def __init__(self, app: ASGIApp, token: str, port: int, once: str = "") -> None:
        self.app = app
        self.token = token
        # Command lines of browsers can be read by others: what stands there lets in one only.
        self.once = once
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        # Cookies know no ports: several explorers would take each other's away.
        self.cookie = f"kg-explore-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an ASGI request, by the app or by a refusal; with the headers of all answers."""
        if scope["type"] != "http":  # no WebSockets here
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        answer = self._refusal(Request(scope))
        static = scope["path"].startswith("/static/")
        await (answer or self.app)(scope, receive, _with_headers(send, static=static))

    def _refusal(self, request: Request) -> Response | None:
        """What is answered instead; None: nothing speaks against the request."""
        host = request.headers.get("host", "").lower()
        if host not in self.hosts:
            return _no(421, f"This is kg explore: open http://{min(self.hosts)}/ instead.")
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site")
        if (origin is not None and origin != f"http://{host}") or (site or "none") not in _OWN_SITE:
            return _no(
                403,
                "A page from elsewhere asked for this, and was refused. If it was you who followed "
                "a link, copy the address into the address bar.",
            )
        if request.method not in _SAFE and origin is None and site is None:
            return _no(403, "Changes are made on the explorer's own pages: this one has no origin.")
        given = request.query_params.get(TOKEN)
        if given is not None and request.method in _SAFE:
            return self._enter(request) if self._lets_in(given) else _unknown()
        # Not by http.cookies: of those of other local servers one that it can't read hides all.
        return None if _same(request.cookies.get(self.cookie, ""), self.token) else _unknown()

    def _enter(self, request: Request) -> Response:
        """The same page without the token in its address, which is kept in a cookie."""
        asked = parse_qs(request.url.query, keep_blank_values=True)
        left = urlencode({key: own for key, own in asked.items() if key != TOKEN}, doseq=True)
        # Of one slash: of two it would be another server's address.
        path = "/" + quote(request.url.path.lstrip("/\\"))
        answer = RedirectResponse(path + (f"?{left}" if left else ""), status_code=303)
        answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
        return answer

    def _lets_in(self, given: str) -> bool:
        if self.once and _same(given, self.once):
            self.once = ""
            return True
        return _same(given, self.token)


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), secret.encode())


def _unknown() -> Response:
    return _no(
        403,
        "This browser isn't let in: open the address that `kg explore` printed, with its token.",
    )


def _no(status: int, sentence: str) -> Response:
    return PlainTextResponse(sentence + "\n", status)


def _with_headers(send: Send, *, static: bool) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            # What is looked at is the library's, not the browser's cache's.
            headers.setdefault("Cache-Control", "no-cache" if static else "no-store")
        await send(message)

    return sending
