"""Nobody but the owner's browser gets an answer."""

from collections.abc import Iterator

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from kg.explore.guard import HEADERS, Guard
from tests.explore.conftest import TOKEN, Visitor, serving


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        request = Request(scope)
        await PlainTextResponse(f"{request.method} {request.url.path}")(scope, receive, send)


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    with serving(lambda port: Guard(app, TOKEN, port)) as visitor:
        yield visitor


def test_the_token_is_asked_for_once_and_kept_where_no_script_reads_it(visitor: Visitor) -> None:
    stranger = Visitor(visitor.port)
    for path in ("/", "/review", "/song/1/audio", "/static/explore.js", "/?token=", "/?token=b"):
        refused = stranger.ask(path)
        assert (refused.status, "with its token" in refused.text) == (403, True), path
    let_in = stranger.ask(f"/review?page=2&token={TOKEN}&q=a%26b")
    assert (let_in.status, let_in.headers["location"]) == (303, "/review?page=2&q=a%26b")
    cookie = let_in.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    known = stranger.ask("/review", cookie=cookie.split(";")[0])
    assert (known.status, known.text) == (200, "GET /review")
    assert stranger.ask("/", cookie=f"kg-explore-{visitor.port}=b").status == 403
    assert stranger.ask("/", cookie=f"kg-explore-1={TOKEN}").status == 403
    assert stranger.ask("/", cookie="a=;;;\x7f=").status == 403


@pytest.mark.parametrize("other", ['prefs={"a":1}', "a=b c", 'x="un', "=", "__x=\xe9", "a,b=c"])
def test_cookies_of_other_local_servers_hide_ours_from_nobody(visitor: Visitor, other: str) -> None:
    ours = visitor.headers["cookie"]
    for cookie in (f"{other}; {ours}", f"{ours}; {other}"):
        assert Visitor(visitor.port).ask("/", cookie=cookie).status == 200


def test_what_stands_in_a_command_line_lets_in_once() -> None:
    with serving(lambda port: Guard(app, TOKEN, port, once="one-visit")) as visitor:
        browser, other = Visitor(visitor.port), Visitor(visitor.port)
        let_in = browser.ask("/?token=one-visit")
        cookie = let_in.headers["set-cookie"].split(";")[0]
        assert let_in.status == 303
        assert browser.ask("/review", cookie=cookie).status == 200
        assert other.ask("/?token=one-visit").status == 403
        assert other.ask(f"/?token={TOKEN}").status == 303
    with serving(lambda port: Guard(app, TOKEN, port)) as visitor:
        assert Visitor(visitor.port).ask("/?token=").status == 403


def test_a_wrong_token_is_refused_even_with_the_right_cookie(visitor: Visitor) -> None:
    assert visitor.ask("/?token=b").status == 403
    # Where it leads to is a page of ours, whatever the path looks like.
    assert visitor.ask(f"//evil.example/?token={TOKEN}").headers["location"] == "/evil.example/"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "[::1]:{port}"]
)
def test_only_our_own_address_is_answered(visitor: Visitor, host: str) -> None:
    refused = visitor.ask("/", host=host.format(port=visitor.port))
    assert refused.status == 421
    assert f"http://127.0.0.1:{visitor.port}/" in refused.text


def test_localhost_is_our_own_address(visitor: Visitor) -> None:
    assert visitor.ask("/", host=f"localhost:{visitor.port}").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},  # another port of this machine
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_of_others_are_refused(
    visitor: Visitor, headers: dict[str, str], method: str
) -> None:
    for own in (visitor, Visitor(visitor.port)):
        assert own.ask(f"/?token={TOKEN}", method, **headers).status == 403
        assert own.ask("/", method, **headers).status == 403


def test_changes_come_from_our_own_pages(visitor: Visitor) -> None:
    assert visitor.ask("/decide", "POST", "action=undo").status == 403
    assert visitor.ask("/decide", "POST", "", origin=visitor.origin).text == "POST /decide"
    assert visitor.ask("/decide", "POST", "", sec_fetch_site="same-origin").status == 200
    # A token in the address lets nobody change anything.
    stranger = Visitor(visitor.port)
    path = f"/decide?token={TOKEN}"
    assert stranger.ask(path, "POST", "", origin=visitor.origin).status == 403


def test_every_answer_says_what_a_browser_may_do_with_it(visitor: Visitor) -> None:
    for answer in (visitor.ask("/"), Visitor(visitor.port).ask("/"), visitor.ask("/", host="x")):
        assert answer.headers.items() >= {k.lower(): v for k, v in HEADERS.items()}.items()
        assert answer.headers["cache-control"] == "no-store"
    policy = visitor.ask("/").headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe-eval" not in policy
