"""Fixtures: a real Chromium, and what every page of ours has to keep to."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PHONE, DESK = (390, 844), (1280, 900)

# Of WCAG 2.1, 1.4.3: contrast of text and what lies behind it, for all text that is seen.
_POOR_CONTRAST = """
() => {
  const curve = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const channel = v => curve(v / 255);
  const light = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const parse = text => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return [found[0], found[1], found[2], found.length > 3 ? found[3] : 1];
  };
  const over = (top, below) =>
    [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const behind = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility() || element.closest("svg, script, style")) continue;
    const style = getComputedStyle(element), size = parseFloat(style.fontSize);
    const below = behind(element), ink = over(parse(style.color), below);
    const [high, low] = [light(ink), light(below)].sort((a, b) => b - a);
    const large = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${ratio.toFixed(2)}: ${text.slice(0, 40)}`);
  }
  return poor;
}
"""
_NAMELESS = """
() => [...document.querySelectorAll("img, [role=img]")]
  .filter(e => !(e.getAttribute("alt") ?? e.getAttribute("aria-label")))
  .map(e => e.outerHTML.slice(0, 80))
"""
_TOO_WIDE = """
() => document.documentElement.scrollWidth > document.documentElement.clientWidth
  ? [`page of ${document.documentElement.scrollWidth} in ${document.documentElement.clientWidth}`]
  : []
"""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A running Chromium; skipped where none is installed (KG_REQUIRE_CHROMIUM=1: failed)."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        if os.environ.get("KG_REQUIRE_CHROMIUM") == "1":
            pytest.fail("KG_REQUIRE_CHROMIUM=1, but there is no Chromium")
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as started:
        # As root, in containers, there is no sandbox; nothing but our own pages is opened.
        running = started.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield running
        running.close()


@pytest.fixture
def look_at(chromium: Any) -> Callable[..., Any]:
    """Open a page of ours and hold it to what every page keeps to: see `looked_at`."""

    @contextmanager
    def look(
        url: str, size: tuple[int, int] = DESK, scheme: str = "light", **options: Any
    ) -> Iterator[Any]:
        with looked_at(chromium, url, size, scheme, **options) as page:
            yield page

    return look


@contextmanager
def looked_at(
    chromium: Any, url: str, size: tuple[int, int], scheme: str, *, offline: bool = False
) -> Iterator[Any]:
    """A page, open at one size in light or dark.

    Afterwards it must have said nothing in its console, asked nobody but its own server, and every
    text must be readable, every picture have a name, and nothing stick out at the side.
    """
    context = chromium.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, offline=offline
    )
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(url, wait_until="load")
        yield page
        own = _server_of(url)
        others = [
            each
            for each in asked
            if not each.startswith(("data:", "blob:")) and _server_of(each) != own
        ]
        assert said == []
        assert others == []
        assert page.evaluate(_POOR_CONTRAST) == []
        assert page.evaluate(_NAMELESS) == []
        assert page.evaluate(_TOO_WIDE) == []
    finally:
        context.close()


def _server_of(url: str) -> list[str]:
    return url.split("/", 3)[:3]
