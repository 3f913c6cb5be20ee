"""A report says what the graph says, and what is missing; nothing in a title becomes markup."""

from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from kg import Library
from kg.audio.synth import GENRES
from kg.errors import NotReadyError, WrongUsageError
from kg.graph.proposals import Dispute, write_disputes
from kg.graph.store import GraphStore
from kg.learning.training import TrainOptions
from kg.metrics.measuring import recorded
from kg.report import write_report
from kg.report.facts import gather
from kg.report.parts import Beside, Chart, Matrix, Missing, Part, Report, Table, Tiles, Words
from kg.report.report import compose, render
from kg.text import printable
from tests.tables import made_up, table_of

HOSTILE = (
    "</script><script>alert('title')</script><img src=x onerror=alert(1)> `x` | \x07 {{7*7}} "
    "\u202e &copy; [x](http://e.vil) <http://e.vil> *b* _i_ ~~s~~ # h $1$"
)
GENRE = "<b onmouseover=alert(2)>& co</b>"


def write(library: Library, cypher: str, **parameters: Any) -> None:
    library.connection.write(lambda tx: tx.run(cypher, parameters).consume())


def parts(report: Report, key: str) -> list[Part]:
    """Parts of a section, with those that stand side by side among them."""
    (section,) = (each for each in report.sections if each.key == key)
    found: list[Part] = []
    for part in section.parts:
        found += part.parts if isinstance(part, Beside) else [part]
    return found


def table(report: Report, key: str, beginning: str = "") -> Table:
    (found,) = (
        part
        for part in parts(report, key)
        if isinstance(part, Table) and part.caption.startswith(beginning)
    )
    return found


def missing(report: Report) -> dict[str, str]:
    return {
        section.key: part.text
        for section in report.sections
        for part in section.parts
        if isinstance(part, Missing)
    }


def text(cell: Any) -> str:
    return cell if isinstance(cell, str) else str(cell.text)


class Elements(HTMLParser):
    """What a browser would make of a page: its elements, their attributes and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def trained(library: Library, music: Path) -> Library:
    library.ingest(music)
    library.train(TrainOptions(epochs=5))
    return library


def test_before_anything_is_there_it_says_what_to_run(
    library: Library, music: Path, tmp_path: Path
) -> None:
    with pytest.raises(NotReadyError, match="kg ingest"):
        write_report(library, tmp_path / "report.html")
    assert [*tmp_path.glob("report*")] == []
    library.ingest(music)
    report = compose(gather(library))
    assert report.summary.startswith(
        "24 songs in 4 genres. Nothing was learned yet: run `kg train`"
    )
    tiles = next(part for part in parts(report, "library") if isinstance(part, Tiles)).tiles
    assert ("24", "songs") in tiles
    assert ("4", "genres") in tiles
    assert ("48 s", "of music") in tiles
    songs = dict(library.ask("MATCH (s:Song)-[:IN_GENRE]->(g) RETURN g.name, count(s)").rows)
    told = {name: text(bar) for name, bar in table(report, "library", "Songs by genre").rows}
    assert told == {name: str(count) for name, count in songs.items()}
    (drawn,) = (part for part in parts(report, "map") if isinstance(part, Chart))
    assert sum(len(series["x"]) for series in drawn.figure["data"]) == 24
    said = missing(report)
    for key in ("accuracy", "genres", "confusions", "reliability", "coverage", "learning"):
        assert "kg train" in said[key]
    assert "kg compare" in said["comparison"]
    assert "kg audit" in said["disputed"]


def test_songs_of_fewer_than_two_genres_ask_for_some_before_training(
    library: Library, music: Path
) -> None:
    library.ingest(music, genres_from="none")
    report = compose(gather(library))
    assert report.summary.startswith("24 songs without a genre. Nothing was learned yet: give")
    assert "two genres at least" in missing(report)["accuracy"]
    assert not [part for part in parts(report, "split") if isinstance(part, Table)]
    (drawn,) = (part for part in parts(report, "map") if isinstance(part, Chart))
    assert [series["name"] for series in drawn.figure["data"]] == ["no genre"]
    library.ingest(music / GENRES[0], genres_from="folder")
    report = compose(gather(library))
    assert report.summary.startswith("24 songs in 1 genre. Nothing was learned yet: give")


def test_numbers_are_those_in_the_graph(trained: Library) -> None:
    report = compose(gather(trained))
    assert not {"accuracy", "genres", "confusions", "coverage", "learning"} & {*missing(report)}
    (model,) = trained.store.read_models()
    kept = recorded(model.metrics, "test")
    assert kept is not None
    rows = table(report, "accuracy", "The model and what").rows
    assert [row[0] for row in rows] == [score.name for score in kept.scores]
    assert [row[1] for row in rows] == [str(score.accuracy) for score in kept.scores]
    ((accuracy, f1),) = trained.ask("MATCH (m:Model) RETURN m.accuracy, m.macroF1").rows
    assert str(rows[0][1]).startswith(f"{accuracy:.3f} [")
    assert str(rows[0][2]).startswith(f"{f1:.3f} [")
    for section in report.sections:
        if section.key in ("accuracy", "genres", "confusions", "coverage"):
            assert "8 test songs" in section.protocol
            assert "by artist" in section.protocol
            assert model.id in section.protocol

    assert report.remarks == []
    write(trained, "MATCH (g:Genre {name: $old}) SET g.name = 'renamed'", old=GENRES[0])
    assert any("run `kg train`" in each for each in compose(gather(trained)).remarks)
    write(trained, "MATCH (g:Genre {name: 'renamed'}) SET g.name = $old", old=GENRES[0])

    # The confusion matrix is the predictions of the test songs in the graph.
    (matrix,) = (part for part in parts(report, "confusions") if isinstance(part, Matrix))
    heard = trained.ask(
        "MATCH (g:Genre)<-[:IN_GENRE]-(s:Song {split: 'test'})-[:PREDICTED_GENRE {rank: 1}]->(h) "
        "RETURN g.name, h.name, count(s)"
    ).rows
    at = {name: row for row, name in enumerate(matrix.names)}
    expected = [[0] * len(matrix.names) for _ in matrix.names]
    for genre, other, songs in heard:
        expected[at[genre]][at[other]] = songs
    assert matrix.counts == expected
    assert matrix.heard_as == matrix.names

    counted = {text(row[0]): str(row[1]) for row in table(report, "coverage").rows}
    doubts = dict(
        trained.ask("MATCH (s:Song) WHERE s.doubt IS NOT NULL RETURN s.doubt, count(s)").rows
    )
    for why, songs in doubts.items():
        assert counted[f"unknown: {why}"].startswith(f"{songs} (")
    sides = {row[0]: row[1] for row in table(report, "split").rows}
    assert sides["held out to measure on"] == "8"
    # What the training said of its probabilities.
    for remark in model.metrics["doubtRemarks"]:
        assert any(
            isinstance(each, Words) and each.text == remark for each in parts(report, "coverage")
        )
    assert "too few to calibrate by" in model.metrics["doubtRemarks"][0]
    (curve,) = (part for part in parts(report, "learning") if isinstance(part, Chart))
    loss, score = curve.figure["data"]
    assert loss["x"] == [1, 2, 3, 4, 5]
    assert loss["y"] == [round(each[1], 4) for each in model.metrics["learningCurve"]]
    assert all(0 <= each <= 1 for each in score["y"])


def test_keys_of_songs_are_read_once(
    library: Library, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.ingest(music)
    read, reads = GraphStore.read_keys, []

    def counted(store: GraphStore) -> Any:
        reads.append(1)
        return read(store)

    monkeypatch.setattr(GraphStore, "read_keys", counted)
    gather(library)
    assert len(reads) == 1


def test_every_query_runs_and_finds_its_model(trained: Library) -> None:
    report = compose(gather(trained))
    for section in report.sections:
        for query in section.cypher.split(";\n"):
            rows = trained.ask(query).rows if query else []
            if "m:Model" in query:
                ((*values,),) = rows
                # Precision is of songs that get a genre, of which there may be none.
                assert None not in values or "m.precision" in query


def test_a_model_out_of_use_is_not_called_unlearned(trained: Library) -> None:
    write(trained, "MATCH (m:Model) SET m.state = 'superseded'")
    report = compose(gather(trained))
    assert "Nothing was learned" not in report.summary
    assert "kg models use ID" in report.summary
    assert "kg models use ID" in missing(report)["accuracy"]


def test_what_an_audit_found_is_in_it(trained: Library) -> None:
    before = compose(gather(trained))
    assert "kg audit" in missing(before)["disputed"]
    ids = [id for (id,) in trained.ask("MATCH (s:Song) RETURN s.id ORDER BY s.path").rows]
    write_disputes(
        trained.connection,
        [Dispute(ids[0], GENRES[1], 0.93, (GENRES[0],), 0.02, "audit", "its own sound")],
    )
    write(
        trained,
        "MATCH (a:Song {id: $a}), (b:Song {id: $b}) "
        "CREATE (a)-[:SAME_RECORDING {kind: 'cut', distance: 0.25, later: 5.0, semitones: 0, "
        "speed: 1.0}]->(b) SET a.clipping = 0.2",
        a=ids[1],
        b=ids[2],
    )
    # One artist's songs in two genres.
    write(
        trained,
        "MATCH (s:Song)-[:IN_GENRE]->(:Genre {name: $genre}) SET s.artist = 'Two-faced'",
        genre=GENRES[0],
    )
    write(trained, "MATCH (s:Song {id: $id}) SET s.artist = 'Two-faced'", id=ids[-1])
    report = compose(gather(trained))
    assert not {"disputed", "copies"} & {*missing(report)}
    (row,) = table(report, "artists").rows
    assert (row[0], f"6 {GENRES[0]}" in row[1]) == ("Two-faced", True)
    (row,) = table(report, "disputed").rows
    assert row[1:] == (GENRES[0], GENRES[1], "93\u00a0%", "its own sound")
    (row,) = table(report, "copies", "The same recording").rows
    assert row[2] == "the other begins about 5 s later, 75 % alike"
    (row,) = table(report, "sound").rows
    assert row[1:3] == (
        "clipped",
        "20 % of its samples are cut off at its loudest level, or crowd below it",
    )


def test_an_audit_that_found_nothing_is_told_from_none(library: Library, music: Path) -> None:
    library.ingest(music)
    before = compose(gather(library))
    assert "run `kg train`, then `kg audit`" in missing(before)["disputed"]
    assert "`kg audit` looks further" in str(parts(before, "copies"))
    library.audit()
    write_disputes(library.connection, [])
    write(library, "MATCH (:Song)-[r:SAME_RECORDING]->(:Song) DELETE r")
    write(library, "MATCH (a:Audit) SET a.disputed = 0")
    report = compose(gather(library))
    assert "disputed" not in missing(report)
    assert "none is in doubt" in str(parts(report, "disputed"))
    assert "looks further" not in str(parts(report, "copies"))
    told = {each.key: each.protocol for each in report.sections}
    for key in ("disputed", "copies"):
        assert told[key].startswith("The last audit looked at 24 songs on ")
        assert told[key].endswith("; nothing has changed since.")
    write(library, "MATCH (a:Audit) SET a.disputed = 2")
    assert "Of 2 labels in doubt none waits for your word any more." in str(
        parts(compose(gather(library)), "disputed")
    )
    library.forget(library.ask("MATCH (s:Song) RETURN s.id LIMIT 1").rows[0][0])
    (section,) = (s for s in compose(gather(library)).sections if s.key == "disputed")
    assert "since then: 1 fewer song. Run `kg audit` again" in section.protocol


def test_files_that_were_refused_and_copies_are_named(
    library: Library, music: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "broken.flac").write_bytes(b"no music")
    song = next(music.rglob("*.flac"))
    for name in ("one.flac", "two.flac"):
        (folder / name).write_bytes(song.read_bytes())
    library.ingest([music, folder])
    report = compose(gather(library))
    assert table(report, "split", "1 file could not").rows[0][2] == "broken.flac"
    ((_, files, where),) = table(report, "copies", "The same file").rows
    assert (files, "two.flac" in str(where)) == ("3", True)


def test_a_comparison_is_shown_with_its_protocol(library: Library, music: Path) -> None:
    from kg.compare.runs import CompareOptions

    library.ingest(music)
    options = CompareOptions(models=["knn", "majority"], seeds=1, folds=2, show_inflation=True)
    library.compare(options)
    report = compose(gather(library))
    rows = library.ask("MATCH (e:Experiment) RETURN e.model, e.protocol, e.macroF1").rows
    told = {(row[0], row[2]): str(row[3])[:5] for row in table(report, "comparison").rows}
    assert told == {(model, by): f"{f1:.3f}" for model, by, f1 in rows}
    (section,) = (each for each in report.sections if each.key == "comparison")
    assert "folds by artist" in section.protocol
    assert "flatter" in section.protocol


def test_a_learning_curve_is_drawn_from_the_last_comparison_that_has_one(
    library: Library,
) -> None:
    from kg.compare.runs import CompareOptions

    library.ingest_table(table_of(*made_up(240)))
    assert "`kg compare --learning-curve`" in missing(compose(gather(library)))["curve"]
    options = CompareOptions(models=["knn", "majority"], seeds=1, folds=2)
    library.compare(replace(options, learning_curve=True, show_inflation=True))
    library.compare(replace(options, features=["timbre"]))  # the newest one has none
    report = compose(gather(library))
    rows = library.ask(
        "MATCH (e:Experiment {model: 'k nearest neighbours', features: 'all'}) "
        "WHERE e.protocol = 'by artist' RETURN e.learnedFrom, e.macroF1 ORDER BY e.share"
    ).rows
    assert len(rows) == 4
    (chart,) = (part for part in parts(report, "curve") if isinstance(part, Chart))
    nearest, majority = chart.figure["data"]
    assert (nearest["name"], majority["name"]) == (
        "k nearest neighbours (all)",
        "majority (none)",
    )
    assert nearest["x"] == [songs for songs, _ in rows]
    assert nearest["y"] == [round(f1, 4) for _, f1 in rows]
    assert chart.figure["layout"]["xaxis"]["tickvals"] == nearest["x"]
    listed = table(report, "curve")
    assert [text(cell) for cell in listed.rows[0][2:6]] == [f"{f1:.3f}" for _, f1 in rows]
    (section,) = (each for each in report.sections if each.key == "curve")
    assert "artists that a model hasn't heard" in section.protocol
    assert len(library.ask(section.cypher).rows) == 8
    compared = table(report, "comparison")
    assert [row[:2] for row in compared.rows] == [
        ("k nearest neighbours", "timbre"),
        ("majority", "none"),
    ]
    library.remove_experiments([library.experiments()[0].run])
    compared = table(compose(gather(library)), "comparison")  # of all songs only
    assert len(compared.rows) == 4


def test_titles_and_genres_are_never_markup(library: Library, music: Path) -> None:
    library.ingest(music)
    write(library, "MATCH (s:Song) SET s.title = $title, s.artist = $title", title=HOSTILE)
    write(library, "MATCH (g:Genre {name: $old}) SET g.name = $new", old=GENRES[0], new=GENRE)
    write(library, "MATCH (a:Artist) SET a.name = $title", title=HOSTILE)
    library.train(TrainOptions(epochs=2, allow_leaks=True))
    report = compose(gather(library))
    harmless = Elements(render(report, "html"))
    assert harmless.names.count("script") == 3
    assert not {"img", "b"} & {*harmless.names}
    assert [name for name in harmless.attributes if name.startswith("on")] == []
    shown = "".join(harmless.texts)
    assert "</script><script>alert('title')</script>" in shown
    assert "\\x07 {{7*7}}" in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown

    # The same, as Markdown is read.
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(render(report, "md"))
    inside = [each for token in tokens for each in token.children or ()]
    assert not {each.type for each in inside} & {"html_inline", "link_open", "image", "s_open"}
    assert [each.content for each in tokens if each.type == "html_block"] == [
        "<!-- kg report -->\n"
    ]
    cells = [
        "".join(child.content for child in token.children or ())
        for before, token in pairwise(tokens)
        if before.type == "td_open"
    ]
    name = printable(HOSTILE)
    assert f"{name} ({name})" in cells
    assert GENRE in cells
    for line in render(report, "md").splitlines():
        if line.startswith("| ") and "evil" in line:
            assert "http://" not in line  # nor does GitHub make a link of it


def test_only_reports_are_replaced(library: Library, music: Path, tmp_path: Path) -> None:
    library.ingest(music)
    mine = tmp_path / "mine.html"
    mine.write_text("<p>my own page")
    with pytest.raises(WrongUsageError, match="no report, so it is left alone"):
        write_report(library, mine)
    assert mine.read_text() == "<p>my own page"
    notes = tmp_path / "notes.md"
    notes.write_text("How I made a page with kg report, <!-- and what it says -->")
    with pytest.raises(WrongUsageError, match="no report, so it is left alone"):
        write_report(library, notes)
    notes.unlink()
    with pytest.raises(WrongUsageError, match=r"ends in \.html or \.md"):
        write_report(library, tmp_path / "report.pdf")
    with pytest.raises(WrongUsageError, match="no folder"):
        write_report(library, tmp_path / "nowhere" / "report.html")
    written = write_report(library, mine, force=True)
    assert written.bytes == mine.stat().st_size
    assert write_report(library, mine).format == "html"
    notes = write_report(library, tmp_path / "notes.md")
    assert notes.path.read_text().startswith("<!-- kg report -->")
    assert write_report(library, tmp_path / "notes.md").path == notes.path
