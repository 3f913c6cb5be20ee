"""The page in a real Chromium: at two widths, light, dark and on paper, and with no network."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kg import Library
from kg.audio.synth import GENRES
from kg.learning.training import TrainOptions
from kg.report import write_report
from kg.settings import Settings
from tests.browser import DESK, PHONE
from tests.conftest import empty

HOSTILE = "</script><script>document.title = 'run'</script><i>Song</i>"
# Text of charts has the ink of all other text, whose contrast `look_at` measures.
_INK_OF_TEXT = "getComputedStyle(document.body).color"
_INK_OF_CHARTS = """
[...new Set([...document.querySelectorAll(".main-svg text")]
  .filter(each => each.textContent.trim()).map(each => getComputedStyle(each).fill))]
"""
CHARTS = ("map", "accuracy", "coverage", "learning")


@pytest.fixture(scope="module")
def page(
    tmp_path_factory: pytest.TempPathFactory, embedded_server: Path, heard: Path, music: Path
) -> Iterator[str]:
    """Address of a report about a library that was trained on, with a hostile title."""
    home = tmp_path_factory.mktemp("report") / "home"
    home.mkdir()
    (home / "server").symlink_to(embedded_server)
    settings = Settings(kg_home=home, neo4j_uri=None)
    shutil.copytree(heard, settings.cache_dir)
    with Library(settings) as library:
        empty(library.connection)
        library.ingest(music)
        library.train(TrainOptions(epochs=5))
        for query in (
            "MATCH (s:Song) SET s.title = $title",
            # A name that reads like a colour of the page's own.
            "MATCH (g:Genre {name: $genre}) SET g.name = '@0'",
        ):
            library.connection.write(
                lambda tx, query=query: tx.run(query, title=HOSTILE, genre=GENRES[0]).consume()
            )
        yield write_report(library, home / "report.html").path.as_uri()


@pytest.mark.parametrize("size", [PHONE, DESK])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_and_asks_nobody(
    look_at: Callable[..., Any], page: str, size: tuple[int, int], scheme: str
) -> None:
    with look_at(page, size=size, scheme=scheme, offline=True) as shown:
        for name in CHARTS:
            box = shown.locator(f"#chart-{name}")
            drawn = box.locator("svg.main-svg").first.bounding_box()
            assert drawn["width"] > 250
            assert drawn["x"] + drawn["width"] <= size[0]
        assert shown.title().startswith("Music library report")  # the title's script didn't run
        assert shown.evaluate(_INK_OF_CHARTS) == [shown.evaluate(_INK_OF_TEXT)]
        # Keys reach what has to be scrolled, and stop nowhere else.
        boxes = shown.locator(".scroll").evaluate_all(
            "all => all.map(each => [each.tabIndex === 0, each.scrollWidth > each.clientWidth])"
        )
        assert len(boxes) > 5
        assert all(reached == scrolls for reached, scrolls in boxes)
        assert size == PHONE or not any(scrolls for _, scrolls in boxes)
        shown.locator("summary").first.click()
        assert shown.locator("pre").first.is_visible()


def test_a_title_is_shown_on_hover(look_at: Callable[..., Any], page: str) -> None:
    with look_at(page, size=DESK) as shown:
        chart = shown.locator("#chart-map")
        chart.scroll_into_view_if_needed()
        points = chart.locator(".points path")
        assert points.count() == 24
        box = points.first.bounding_box()
        shown.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        label = chart.locator(".hovertext")
        label.first.wait_for()
        assert "<i>Song</i>" in label.first.text_content()
        names = chart.locator(".legendtext").all_text_contents()
        assert names == ["@0", *sorted(GENRES[1:4])]


def test_a_map_has_no_empty_room_and_all_names_of_its_genres(
    look_at: Callable[..., Any], page: str
) -> None:
    with look_at(page, size=PHONE) as shown:
        chart = shown.locator("#chart-map")
        high = chart.bounding_box()["height"]
        boxes = [point.bounding_box() for point in chart.locator(".points path").all()]
        tops = [box["y"] for box in boxes]
        names = chart.locator(".legendtext").all()
        legend = chart.locator(".legend .bg").first.bounding_box()
        assert max(tops) - min(tops) > 0.75 * (high - legend["height"] - 30)
        for name in names:
            box = name.bounding_box()
            assert legend["y"] <= box["y"]
            assert box["y"] + box["height"] <= legend["y"] + legend["height"] + 1


def test_it_prints_in_black_on_white(look_at: Callable[..., Any], page: str) -> None:
    with look_at(page, size=DESK, scheme="dark") as shown:
        dark = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        shown.emulate_media(media="print")
        paper = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (dark != paper, paper) == (True, "rgb(255, 255, 255)")
        assert not shown.locator("nav").is_visible()
        ink = shown.locator("#chart-accuracy .xtick text").first.evaluate(
            "each => getComputedStyle(each).fill"
        )
        assert ink == "rgb(0, 0, 0)"
