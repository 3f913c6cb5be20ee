"""What the pages say, and what they let one do."""

import html
import io
import os
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from kg import Library
from kg.errors import KgError
from kg.explore.desk import BusyError, Desk
from kg.explore.server import serve
from kg.graph.locks import FileLock
from kg.graph.proposals import Dispute, write_disputes
from tests.explore.conftest import (
    FIRST,
    LABELS,
    SECOND,
    Visitor,
    explored,
    rename,
    songs_of,
    until,
)
from tests.waiting import DEADLINE, ENDLESS

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e\x07&amp;"


def test_songs_are_found_by_words_and_genre(filed: Library, visitor: Visitor) -> None:
    one, two, *_ = songs_of(filed)
    rename(filed, one, "Blue in Green")
    rename(filed, two, "Ällt är blÅtt")

    def found(query: str) -> set[str]:
        page = visitor.ask(f"/?{query}&part=1").text
        return {each.split('"')[0] for each in page.split('href="/song/')[1:]}

    assert found("q=GREEN+bl") == {one}
    assert found(f"q={quote('ällt BLÅTT')}") == {two}
    assert found("q=green+yellow") == set()
    # Endless texts are no work for the server.
    rename(filed, two, " ".join(f"word{number}" for number in range(25)))
    words = [f"word{number}" for number in range(24)]
    assert found("q=" + "+".join([*words[:15] * 9, "yellow"])) == set()  # the same word counts once
    assert found("q=" + "+".join([*words[:20], "yellow"])) == {two}
    rename(filed, two, "Ällt är blÅtt")
    assert found(f"genre={FIRST}") == set(songs_of(filed))
    assert found(f"q=blue&genre={SECOND}") == set()
    assert found(f"q={quote(Path(FIRST).name + '-3')}") == {songs_of(filed)[3]}  # of the path
    whole = visitor.ask("/").text
    assert "24 songs" in whole
    assert f"{FIRST} <small>6</small>" in whole
    for odd in ("q=%00%ff%27%22", "page=-1", "page=99999999999", "genre=none", "q=" + "a+" * 500):
        assert visitor.ask(f"/?{odd}").status == 200


def test_names_never_become_markup(filed: Library, visitor: Visitor, look_at: Any) -> None:
    one = songs_of(filed)[0]
    rename(filed, one, HOSTILE)
    filed.accept(one, HOSTILE, new=True)
    write_disputes(filed.connection, [Dispute(one, FIRST, 0.9, (HOSTILE,), 0.1, "a", HOSTILE)])
    points = until(lambda: points_of(visitor))
    assert any(HOSTILE[:20] in text for text in points["text"])
    cypher = quote("MATCH (s:Song)-[:IN_GENRE]->(g) RETURN s.title AS `<b>t</b>`, collect(g.name)")
    for path in ("/", f"/?q={quote(HOSTILE)}", f"/?genre={quote(HOSTILE)}", f"/song/{one}",
                 "/review", f"/map?song={one}", f"/ask?cypher={cypher}", f"/song/{quote(HOSTILE)}",
                 f"/map?song={quote(HOSTILE)}", f"/ask?cypher={quote(HOSTILE)}"):  # fmt: skip
        text = visitor.ask(path).text
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path
        assert "<b>t" not in text, path
        # What a form sends isn't shown, and comes back as it is.
        shown = re.sub(r'value="[^"]*"', "", text)
        assert not {"\x07", "\u202e"} & {*shown}, path
    with look_at(visitor.address(f"/map?song={one}")) as page:
        page.wait_for_selector("#map[data-drawn]")
        assert HOSTILE[:25] in page.inner_text("#chosen")
        page.click("#chosen a")
        assert HOSTILE[:25] in page.inner_text("h1")


def points_of(visitor: Visitor) -> dict[str, Any] | None:
    answer = visitor.ask("/map/points")
    assert answer.status in (200, 202)
    return answer.json() if answer.status == 200 else None


def test_decisions_are_made_undone_and_kept(filed: Library, visitor: Visitor) -> None:
    one, two, *_ = songs_of(filed)
    before = filed.ask(LABELS).rows
    write_disputes(
        filed.connection,
        [Dispute(id, SECOND, 0.9, (FIRST,), 0.05, "audit", "Its neighbours.") for id in (one, two)],
    )
    page = visitor.ask("/review").text
    assert "2 songs wait" in page
    assert "Its neighbours." in page
    form = {"song": one, "genre": SECOND, "seen": FIRST, "back": f"/song/{one}"}
    page = visitor.send(**form, action="accept").text
    assert f"is filed under {SECOND} now." in page
    assert f"You accepted <b>{SECOND}</b> in the place of {FIRST}" in page
    assert [one, SECOND, "user"] in filed.ask(LABELS).rows
    assert "1 song waits" in visitor.ask("/review").text
    # Somebody who looks at the old page yet decides nothing.
    assert "Nothing was changed." in visitor.send(**form, action="reject").text
    page = visitor.send(song=one, action="undo", back=f"/song/{one}").text
    assert f"is filed under {FIRST} again." in page
    assert filed.ask(LABELS).rows == before
    visitor.send(song=two, genre=SECOND, seen=FIRST, action="reject")
    assert [each.song for each in filed.proposals()] == [one]
    typed = FIRST[:-1] + FIRST[-1] * 2
    page = visitor.send(song=two, genre=typed, seen=FIRST, action="beside").text
    assert f"{typed} is no genre here; did you mean {FIRST}? Tick “a new genre”" in page
    page = visitor.send(song=two, genre="my own", seen=FIRST, action="beside", new="on").text
    assert f"is filed under {FIRST}, my own now." in page
    for wrong in ({"action": "eat"}, {"song": "none", "genre": "x", "action": "accept"},
                  {"song": one, "genre": " ", "action": "accept"}):  # fmt: skip
        assert 'class="notice wrong"' in visitor.send(**wrong).text
    too_much = visitor.ask("/decide", "POST", "a=" + "b" * 70_000, origin=visitor.origin)
    assert too_much.status == 413


def test_a_song_says_whether_an_audit_looked(filed: Library, visitor: Visitor) -> None:
    one, two, *_ = songs_of(filed)
    assert (
        "No audit has looked at this library yet: <code>kg audit</code>"
        in visitor.ask(f"/song/{one}").text
    )
    filed.audit()
    write_disputes(filed.connection, [Dispute(two, SECOND, 0.9, (FIRST,), 0.05, "audit")])
    pages = [visitor.ask(f"/song/{id}").text for id in (one, two)]
    assert all("The last audit ran on " in page for page in pages)
    assert ["found nothing wrong" in page for page in pages][1] is False
    filed.forget(songs_of(filed)[5])
    assert "; of 23 songs 24 were there." in visitor.ask(f"/song/{one}").text


def test_two_reviewers_at_once(filed: Library, visitor: Visitor) -> None:
    one = songs_of(filed)[0]
    write_disputes(filed.connection, [Dispute(one, SECOND, 0.9, (FIRST,), 0.05, "audit")])
    assert one in visitor.ask("/review").text
    with Library(filed.settings) as other:
        other.accept(one, "something else", new=True)
    page = visitor.send(song=one, genre=SECOND, seen=FIRST, action="accept").text
    assert "is filed under something else meanwhile" in page
    assert [name for id, name, _ in filed.ask(LABELS).rows if id == one] == ["something else"]
    # While another command writes, which may take an hour, a page says so and doesn't wait.
    before = filed.ask(LABELS).rows
    with FileLock(filed.settings.lock_file):
        page = visitor.send(song=one, genre=SECOND, seen="something else", action="accept").text
    assert "Another kg command works on this library" in page
    assert filed.ask(LABELS).rows == before


def test_each_tab_is_told_of_its_own_decision_and_undoes_that(
    filed: Library, visitor: Visitor
) -> None:
    one, two, *_ = songs_of(filed)
    before = filed.ask(LABELS).rows
    write_disputes(
        filed.connection,
        [Dispute(id, SECOND, 0.9, (FIRST,), 0.05, "audit") for id in (one, two)],
    )
    pages = []
    for song in (one, two):
        fields = {"song": song, "genre": SECOND, "seen": FIRST, "action": "accept"}
        sent = visitor.ask("/decide", "POST", urlencode(fields), origin=visitor.origin)
        pages.append(sent.headers["location"])
    assert "is filed under" not in visitor.ask("/review").text  # a third tab
    texts = [visitor.ask(page).text for page in pages]
    for song, text, page in zip((one, two), texts, pages, strict=True):
        assert text.count("is filed under") == 1
        assert f'name="song" value="{song}"' in text
        assert "is filed under" not in visitor.ask(page).text  # for once
    visitor.send(song=one, action="undo")  # though the other tab's was the last of all
    now = filed.ask(LABELS).rows
    assert [row for row in now if row[0] == one] == [row for row in before if row[0] == one]
    assert [two, SECOND, "user"] in now


def test_what_could_not_be_decided_waits_on(filed: Library, visitor: Visitor) -> None:
    one = songs_of(filed)[0]
    write_disputes(filed.connection, [Dispute(one, SECOND, 0.9, (FIRST,), 0.05, "audit")])
    form = {"song": one, "genre": SECOND, "seen": FIRST}
    with FileLock(filed.settings.lock_file):
        page = visitor.send(**form, action="accept").text
        assert "Another kg command works on this library" in page
        assert f"/song/{one}" in page
    assert f"/song/{one}" not in visitor.send(**form, action="accept").text
    assert f"/song/{one}" in visitor.send(action="undo").text


def test_pages_wait_for_each_other_no_longer_than_a_while(
    filed: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kg.explore.desk._PATIENCE", 0.1)
    desk, one = Desk(filed), songs_of(filed)[0]
    with (
        desk.alone(),  # one page reads the whole graph
        ThreadPoolExecutor(1) as pool,
        pytest.raises(BusyError, match="Another page"),
    ):
        pool.submit(desk.accept, one, SECOND, [FIRST], beside=False).result()
    assert desk.accept(one, SECOND, [FIRST], beside=False).after == (SECOND,)


def test_a_queue_that_takes_long_is_read_beside_the_pages(
    filed: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kg.explore.desk._QUICK", 0.0)
    monkeypatch.setattr("kg.explore.desk._BELIEVED", 0.0)
    monkeypatch.setattr("kg.explore.desk._TIMES", 0)
    one, two, *_ = songs_of(filed)
    dispute = [Dispute(id, SECOND, 0.9, (FIRST,), 0.05, "audit") for id in (one, two)]
    write_disputes(filed.connection, dispute[:1])
    desk, reads, go_on = Desk(filed), [], threading.Event()
    desk.prepare()
    assert [each.song for each in desk.waiting()] == [one]  # there is no old one yet

    def proposals() -> Any:
        reads.append(1)
        assert go_on.wait(DEADLINE)
        return Library.proposals(filed)

    monkeypatch.setattr(filed, "proposals", proposals)
    write_disputes(filed.connection, dispute)
    for _ in range(3):
        assert [each.song for each in desk.waiting()] == [one]  # no page waits for the new one
    go_on.set()
    until(lambda: len(desk.waiting()) == 2 or None)
    desk.accept(one, SECOND, [FIRST], beside=False)
    assert [each.song for each in desk.waiting()] == [two]  # whatever was being read
    desk.undo(one)
    until(lambda: len(desk.waiting()) == 2 or None)
    desk.close()
    until(lambda: None if desk._reader.is_alive() else True)
    before = len(reads)
    assert len(desk.waiting()) == 2
    assert len(reads) == before  # a library that was closed would be opened again


def test_a_genre_comes_back_as_it_is(filed: Library, visitor: Visitor) -> None:
    one = songs_of(filed)[0]
    odd = "a\u202eb <i>\"'&amp;"
    filed.accept(one, odd, new=True)
    page = visitor.ask(f"/song/{one}").text
    assert "a\\u202eb" in page  # turns no text behind it around
    seen = html.unescape(page.split('name="seen" value="')[1].split('"')[0])
    assert seen == odd
    page = visitor.send(song=one, genre=SECOND, seen=seen, action="beside").text
    assert "Nothing was changed" not in page
    assert sorted(name for id, name, _ in filed.ask(LABELS).rows if id == one) == [odd, SECOND]


def test_a_form_leads_back_to_our_own_pages_only(visitor: Visitor) -> None:
    for back in (
        "http://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/ask",
        "",
        "\r\nX: y",
    ):
        sent = visitor.ask(
            "/decide", "POST", f"action=undo&back={quote(back)}", origin=visitor.origin
        )
        assert sent.headers["location"].partition("?")[0] == "/review"


def test_sound_is_served_in_ranges_and_as_kg_heard_it(filed: Library, visitor: Visitor) -> None:
    from matplotlib.image import imread

    one = songs_of(filed)[0]
    path = Path(filed.ask("MATCH (s:Song {id: $id}) RETURN s.path", {"id": one}).rows[0][0])
    whole = visitor.ask(f"/song/{one}/audio")
    assert (whole.status, whole.body) == (200, path.read_bytes())
    assert whole.headers["content-type"] == "audio/flac"
    part = visitor.ask(f"/song/{one}/audio", range="bytes=100-199")
    assert (part.status, part.body) == (206, path.read_bytes()[100:200])
    wave = visitor.ask(f"/song/{one}/heard.wav")
    assert (wave.body[:4], wave.body[8:12]) == (b"RIFF", b"WAVE")
    assert len(wave.body) == 44 + 2 * round(2.0 * 22_050)
    part = visitor.ask(f"/song/{one}/heard.wav", range="bytes=100-199")
    assert (part.status, part.body) == (206, wave.body[100:200])
    picture = imread(io.BytesIO(visitor.ask(f"/song/{one}/spectrogram.png").body))
    assert picture.shape[0] == 2 * 128
    light = picture[:, :, :3].mean(axis=2)
    assert light.max() > 0.8
    assert light[-64:].mean() > light[:64].mean()  # low notes are louder, and below


def test_the_same_recording_is_told_from_both_sides(filed: Library, visitor: Visitor) -> None:
    one, two, three, *_ = songs_of(filed)
    rename(filed, one, "First")
    rename(filed, two, "Second")

    def work(tx: Any) -> None:
        pitch = {"kind": "pitch", "distance": 0.1, "semitones": 2, "printed": True}
        alike = {"kind": "encoding", "distance": 0.0, "printed": False}
        for other, properties in ((two, pitch), (three, alike)):
            tx.run(
                "MATCH (s:Song {id: $one}) MATCH (o:Song {id: $other}) "
                "CREATE (s)-[r:SAME_RECORDING]->(o) SET r = $properties",
                one=one,
                other=other,
                properties=properties,
            ).consume()

    filed.connection.write(work)
    page = visitor.ask(f"/song/{one}").text
    assert "the other is 2 semitones higher, 90 % alike" in page
    assert "sounds the same by its features" in page
    page = visitor.ask(f"/song/{two}").text
    assert "the other is 2 semitones lower, 90 % alike" in page
    assert "Second" not in page.split('id="copies"')[1].split("</section>")[0]


def test_what_is_gone_or_no_audio_is_said(filed: Library, visitor: Visitor, tmp_path: Path) -> None:
    one = songs_of(filed)[0]

    def place(path: str) -> None:
        def work(tx: Any) -> None:
            text = "MATCH (s:Song {id: $id}) SET s.path = $path, s.paths = [$path]"
            tx.run(text, id=one, path=path).consume()

        filed.connection.write(work)

    place(str(tmp_path / "gone.mp3"))
    assert "file is gone" in visitor.ask(f"/song/{one}").text
    assert visitor.ask(f"/song/{one}/audio").status == 404
    assert visitor.ask(f"/song/{one}/spectrogram.png").status == 404
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret")
    os.mkfifo(tmp_path / "pipe.mp3")
    # Whatever a graph says: only what is called like audio is handed out.
    for path in (secret, tmp_path / "pipe.mp3", tmp_path):
        place(str(path))
        for part in ("audio", "heard.wav", "spectrogram.png"):
            answer = visitor.ask(f"/song/{one}/{part}")
            assert answer.status == 404
            assert "a secret" not in answer.text
    for path in ("/song/none", "/song/none/audio", "/nothing", "/static/../app.py"):
        answer = visitor.ask(path)
        assert answer.status == 404
        assert "Traceback" not in answer.text


def test_a_file_that_has_changed_is_said(filed: Library, visitor: Visitor, tmp_path: Path) -> None:
    one, two, *_ = songs_of(filed)
    said = "file has changed since kg heard it"
    where = "MATCH (s:Song {id: $id}) RETURN s.path"
    path, other = (Path(filed.ask(where, {"id": id}).rows[0][0]) for id in (one, two))
    assert said not in visitor.ask(f"/song/{one}").text
    replaced = tmp_path / path.name
    replaced.write_bytes(other.read_bytes())

    def change(**properties: Any) -> None:
        def work(tx: Any) -> None:
            text = "MATCH (s:Song {id: $id}) SET s += $properties"
            tx.run(text, id=one, properties=properties).consume()

        filed.connection.write(work)

    change(path=str(replaced), paths=[str(replaced)])
    assert said in visitor.ask(f"/song/{one}").text
    change(contents=[two])  # kg itself wrote tags into it
    assert said not in visitor.ask(f"/song/{one}").text
    replaced.write_bytes(b"")
    change(contents=None, sourceKey="table.csv#1")  # what a table's file holds nobody knows
    assert said not in visitor.ask(f"/song/{one}").text
    assert visitor.ask(f"/song/{one}/spectrogram.png").status == 404


def test_what_nobody_foresaw_is_said_too(
    filed: Library,
    visitor: Visitor,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("<b>a bug of ours</b>")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/home/somewhere")

    until(lambda: points_of(visitor))
    monkeypatch.setattr("kg.explore.app.songs.search", broken)
    monkeypatch.setattr("kg.explore.points.song_map", broken)
    for path in ("/", "/?part=1"):
        answer = visitor.ask(path)
        assert answer.status == 500
        assert "RuntimeError: &lt;b&gt;a bug of ours" in answer.text
        assert "Traceback" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    monkeypatch.setattr("kg.explore.app.songs.search", full)
    assert "No space left on device: /home/somewhere." in visitor.ask("/").text
    # An old map is better than none.
    visitor.send(action="undo")
    assert points_of(visitor)
    with explored(filed) as another:
        asked = until(lambda: None if (a := another.ask("/map/points")).status == 202 else a)
    assert asked.status == 409
    assert "a bug of ours" in asked.json()["error"]
    assert points_of(visitor)
    monkeypatch.setattr(filed, "accept", full)
    assert "No space left" in visitor.send(song="a", genre="b", action="accept").text
    assert "Traceback" not in capfd.readouterr().err


def test_a_query_ends_when_its_page_is_left(
    filed: Library, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not filed.settings.embedded:
        pytest.skip("ends it by its timeout")
    begun, ended = threading.Event(), threading.Event()

    def ask(*args: Any, **options: Any) -> Any:
        begun.set()
        try:
            return Library.ask(filed, *args, **options)
        finally:
            ended.set()

    monkeypatch.setattr(filed, "ask", ask)
    monkeypatch.setattr("kg.explore.app.PATIENCE", 10 * DEADLINE)
    with socket.create_connection(("127.0.0.1", visitor.port)) as browser:
        lines = [f"GET /ask?cypher={quote(ENDLESS)} HTTP/1.1", f"Host: 127.0.0.1:{visitor.port}"]
        lines += [f"Cookie: {visitor.headers['cookie']}", "", ""]
        browser.sendall("\r\n".join(lines).encode())
        assert begun.wait(DEADLINE)
        assert not ended.is_set()
    assert ended.wait(DEADLINE)


def test_queries_only_read(filed: Library, visitor: Visitor) -> None:
    def ask(cypher: str) -> str:
        return visitor.ask(f"/ask?cypher={quote(cypher)}").text

    page = ask("MATCH (s:Song) RETURN count(s) AS n, [1, null] AS list, 1.5 AS x, true AS yes")
    for cell in ("<td>24</td>", "<td>[1, null]</td>", "<td>1.5</td>", "<td>true</td>", "1 row"):
        assert cell in page
    assert "The first 500 rows of more" in ask("UNWIND range(1, 501) AS n RETURN n")
    assert ">500 rows<" in ask("UNWIND range(1, 500) AS n RETURN n")
    assert len(ask("RETURN range(1, 100000) AS list")) < 5_000
    for wrong in ("MATCH (s:Song) DETACH DELETE s", "CREATE (:Song {id: 'x'})", "MATCH nonsense"):
        assert 'class="missing"' in ask(wrong), wrong
    assert filed.ask("MATCH (s:Song) RETURN count(s)").rows == [[24]]
    assert "To begin with" in ask("  ")


def test_before_training_pages_say_what_is_missing(filed: Library, visitor: Visitor) -> None:
    one = songs_of(filed)[0]
    page = visitor.ask(f"/song/{one}").text
    assert "The model has said nothing of this song yet" in page
    assert "run <code>kg train</code>" in visitor.ask(f"/song/{one}/evidence").text
    assert "By sound alone" in visitor.ask(f"/song/{one}/neighbours").text
    assert "Nothing waits for your word" in visitor.ask("/review").text


def test_a_map_that_cannot_be_drawn_says_why(filed: Library, visitor: Visitor) -> None:
    def work(tx: Any) -> None:
        tx.run("MATCH (f:FeatureSpace) SET f.state = 'building'").consume()

    until(lambda: points_of(visitor))
    filed.connection.write(work)
    (filed.settings.map_file).unlink()
    with explored(filed) as another:
        asked = until(lambda: None if (a := another.ask("/map/points")).status == 202 else a)
    assert asked.status == 409
    assert "kg ingest" in asked.json()["error"]


def test_an_empty_library_is_no_library_to_explore(library: Library) -> None:
    with pytest.raises(KgError, match="run `kg ingest FOLDER` first"):
        serve(library, 0)
