"""The pages in a real browser: what is clicked, typed, pressed and touched."""

from pathlib import Path
from typing import Any

import pytest

from kg import Library
from kg.graph.proposals import Dispute, write_disputes
from kg.learning.training import TrainOptions
from tests.explore.conftest import FIRST, LABELS, SECOND, Visitor, songs_of, until
from tests.waiting import ENDLESS


def test_what_is_clicked_and_pressed_changes_the_graph(
    filed: Library, visitor: Visitor, look_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed.train(TrainOptions(epochs=5))
    one = songs_of(filed)[0]
    write_disputes(
        filed.connection,
        [Dispute(id, SECOND, 0.9, (FIRST,), 0.05, "audit", "Why.") for id in songs_of(filed)[:2]],
    )
    for size, scheme in (((390, 844), "light"), ((1280, 900), "dark")):
        with look_at(visitor.address("/"), size, scheme) as page:
            page.fill("#q", f"{FIRST}-3")
            seen(page, "document.querySelectorAll('.songs li').length == 1")
            page.click(".songs a")
            page.wait_for_selector(".evidence", timeout=120_000)
            page.wait_for_selector(".like")
            seen(page, "document.querySelector('.picture img').naturalWidth > 50")
            seen(page, "document.querySelector('audio').duration > 1.9")
        with look_at(visitor.address("/map"), size, scheme) as page:
            page.wait_for_selector("#map[data-drawn='24']")
            ((left, top),) = page.evaluate(PLACES)[:1]
            page.mouse.move(left, top)
            assert page.is_visible("#tip")
            page.mouse.click(left, top)
            assert page.get_attribute("#chosen a", "href").startswith("/song/")
            page.click("#legend button:first-child")
            assert page.get_attribute("#legend button:first-child", "aria-pressed") == "false"
            page.click("#nearer")
        with look_at(
            visitor.address("/ask?cypher=MATCH+(s:Song)+RETURN+s.path,+s.id"), size, scheme
        ):
            pass
        with look_at(visitor.address("/review"), size, scheme) as page:
            assert page.locator("[data-card]").count() == 2
            page.keyboard.press("j")
            page.keyboard.press("a")
            page.wait_for_selector(".notice")
            assert page.locator("[data-card]").count() == 1
            page.keyboard.press("u")
            page.wait_for_selector("[data-card] >> nth=1")
        with look_at(visitor.address(f"/song/{one}"), size, scheme) as page:
            page.fill("#genre", "my own")
            page.click("button[value=accept]:has-text('Replace')")
            page.wait_for_selector(".notice >> text=is no genre here")
            page.fill("#genre", "my own")
            page.check("[name=new]")
            page.click("button[value=accept]:has-text('Replace')")
            page.wait_for_selector(".notice >> text=my own now")
            page.click("text=Undo the last decision")
            page.wait_for_selector("text=again.")
            page.wait_for_selector(".evidence", timeout=120_000)

    # In a large library nothing reads the whole graph unasked.
    monkeypatch.setattr("kg.explore.app.MANY", 0)
    trained = filed.ask("MATCH (s:Song {split: 'train'})-[:IN_GENRE]->() RETURN s.id").rows[0][0]
    with look_at(visitor.address(f"/song/{trained}")) as page:
        assert page.locator(".evidence").count() == 0
        page.click("[data-load]")
        page.wait_for_selector(".evidence", timeout=120_000)


def test_the_review_by_keys(filed: Library, visitor: Visitor, look_at: Any) -> None:
    songs = songs_of(filed)[:5]
    write_disputes(
        filed.connection,
        [
            Dispute(id, SECOND, 0.9 - 0.1 * rank, (FIRST,), 0.05, "audit")
            for rank, id in enumerate(songs)
        ],
    )
    marked = "[data-on] .title[href='/song/{}']"

    def of(id: str) -> list[str]:
        return [name for song, name, _ in filed.ask(LABELS).rows if song == id]

    with look_at(visitor.address("/review")) as page:
        for key in "jjk":
            page.keyboard.press(key)
        assert page.is_visible(marked.format(songs[1]))
        # Of two presses before the next page is there the second decides nothing.
        page.evaluate(
            """() => setTimeout(() => {
              for (const _ of [1, 2]) {
                document.dispatchEvent(new KeyboardEvent("keydown", {key: "a", bubbles: true}));
              }
            })"""
        )
        page.wait_for_selector(".notice:not(.wrong)")
        assert [of(id) for id in songs] == [[FIRST], [SECOND], [FIRST], [FIRST], [FIRST]]
        # On it goes from where one was, and a notice is for once.
        page.wait_for_selector(marked.format(songs[2]))
        assert "said=" not in page.url
        page.keyboard.press("r")
        page.wait_for_selector(marked.format(songs[3]))
        assert [each.song for each in filed.proposals()] == [songs[0], *songs[3:]]
        # While somebody else decides about another song, one undoes one's own decision.
        filed.accept(songs[0], SECOND)
        page.keyboard.press("u")
        page.wait_for_selector(f".notice:text('is filed under {FIRST} again')")
        assert {each.song for each in filed.proposals()} == {*songs[2:]}
        assert of(songs[0]) == [SECOND]


def test_the_map_by_keys_and_by_fingers(visitor: Visitor, look_at: Any) -> None:
    with look_at(visitor.address("/map"), (390, 844)) as page:
        page.wait_for_selector("#map[data-drawn='24']")
        page.focus("#map canvas")
        page.keyboard.press("+")
        seen(page, "document.getElementById('map').dataset.zoom == '1.8'")
        assert page.is_visible("#tip")
        named = page.inner_text("#tip").split("\n")[0]
        page.keyboard.press("Enter")
        assert page.inner_text("#chosen a") == named
        for key in ("ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown", "-", "0"):
            page.keyboard.press(key)
        seen(page, "document.getElementById('map').dataset.zoom == '1.0'")
        box = page.locator("#map canvas").bounding_box()
        left, top = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        fingers = page.context.new_cdp_session(page)

        def touch(kind: str, *places: float) -> None:
            points = [{"x": left + x, "y": top, "id": id} for id, x in enumerate(places)]
            fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", -20)
        touch("touchStart", -20, 20)
        for far in range(30, 110, 10):
            touch("touchMove", -far, far)
        touch("touchEnd")
        seen(page, "Number(document.getElementById('map').dataset.zoom) >= 4")
        # The page itself is where and as large as it was.
        assert page.evaluate("[visualViewport.scale, scrollX, scrollY]") == [1, 0, 0]
        # One genre alone, and all again.
        buttons = page.locator("#legend button")
        buttons.nth(1).dblclick()
        shown = [buttons.nth(at).get_attribute("aria-pressed") for at in range(buttons.count())]
        assert shown == ["false", "true", "false", "false"]
        buttons.nth(1).dblclick()
        assert page.locator("#legend button[aria-pressed=true]").count() == buttons.count()


def test_words_as_they_are_typed(filed: Library, visitor: Visitor, look_at: Any) -> None:
    with look_at(visitor.address("/")) as page:
        page.fill("#q", "-3.flac")
        seen(page, "document.querySelectorAll('.songs li').length == 4")
        page.click(f".genres a:has-text('{SECOND}')")  # these words, in that genre
        assert page.locator(".songs li").count() == 1
        assert page.input_value("#q") == "-3.flac"
        page.fill("#q", "nothing says this")
        seen(page, "document.querySelector('.empty') !== null")
        # What can't be asked any more is said where songs were.
        page.route(
            "**/?*part=1", lambda route: route.fulfill(body="No.", content_type="text/plain")
        )
        page.fill("#q", "b")
        seen(page, "document.querySelector('#found .missing')?.textContent == 'No.'")


def test_a_song_that_no_browser_plays_is_sought_in(
    filed: Library, visitor: Visitor, look_at: Any, tmp_path: Path
) -> None:
    one = songs_of(filed)[0]
    path = Path(filed.ask("MATCH (s:Song {id: $id}) RETURN s.path", {"id": one}).rows[0][0])
    strange = tmp_path / "song.ape"
    strange.write_bytes(path.read_bytes())

    def work(tx: Any) -> None:
        text = "MATCH (s:Song {id: $id}) SET s.path = $path, s.paths = [$path]"
        tx.run(text, id=one, path=str(strange)).consume()

    filed.connection.write(work)
    with look_at(visitor.address(f"/song/{one}")) as page:
        seen(page, "document.querySelector('audio').duration > 1.9")
        assert page.evaluate("document.querySelector('audio').currentSrc").endswith("/heard.wav")
        picture = page.locator(".picture img").bounding_box()
        page.mouse.click(picture["x"] + 0.8 * picture["width"], picture["y"] + 20)
        seen(page, "document.querySelector('audio').currentTime > 1.5")
        page.wait_for_selector(".like")


def test_a_query_is_stopped(
    visitor: Visitor, look_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with look_at(visitor.address("/ask")) as page:
        said = page.evaluate(
            """query => new Promise(done => {
              const box = document.getElementById("cypher");
              const hint = () => document.querySelector("[data-hint]").textContent;
              box.value = query;
              setTimeout(() => {
                const asking = hint();
                document.querySelector("[data-hint] button").click();
                done([asking, hint()]);
              }, 1000);
              box.form.requestSubmit();
            })""",
            ENDLESS,
        )
        assert said[0] == "Asking… Stop"
        assert said[1].startswith("It only reads")


def seen(page: Any, what: str) -> None:
    """Wait for what a page comes to; its policy keeps the browser from waiting by itself."""
    until(lambda: page.evaluate(what) or None)


# Where a song lies in the window: what isn't clear on the canvas is one.
PLACES = """
() => {
  const canvas = document.querySelector("#map canvas"), pen = canvas.getContext("2d");
  const {width, height} = canvas, where = canvas.getBoundingClientRect(), found = [];
  const data = pen.getImageData(0, 0, width, height).data;
  for (let y = 60; y < height && !found.length; y++) {
    for (let x = 20; x < width - 70; x++) {
      if (data[4 * (y * width + x) + 3] > 150) {
        const left = where.left + x * where.width / width;
        found.push([left, where.top + (y + 3) * where.height / height]);
        break;
      }
    }
  }
  return found;
}
"""
