"""An audit on a library: what it proposes, what it leaves alone, and what shows it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kg import Library
from kg.audit import audit as auditing
from kg.audit.audit import SCARCE, AuditReport
from kg.errors import NotReadyError
from kg.graph.audits import LastAudit
from kg.records import SongRecord
from kg.settings import Settings
from tests.tables import GENRES, made_up, table_of

LABELS = (
    "MATCH (s:Song)-[r:IN_GENRE]->(g:Genre) RETURN s.id, g.name, r.source ORDER BY s.id, g.name"
)
PLANTED = {17: "rock", 40: "jazz", 58: "blues"}


@pytest.fixture
def empty(server: Settings) -> Iterator[Library]:
    with Library(server) as library:
        yield library


def planted(count: int = 160) -> list[SongRecord]:
    """Songs of four genres, three of which are filed under the wrong one."""
    records, _ = made_up(count)
    return [
        replace(each, genres=(PLANTED[row],)) if row in PLANTED else each
        for row, each in enumerate(records)
    ]


def taken_in(library: Library, records: list[SongRecord]) -> list[SongRecord]:
    features = made_up(len(records))[1]
    library.ingest_table(table_of(records, features))
    return records


def found(report: AuditReport) -> dict[str | None, tuple[tuple[str, ...], str]]:
    assert report.labels is not None
    return {each.title: (each.replaces, each.genre) for each in report.labels.songs}


def test_planted_labels_are_proposed_and_no_label_changes(empty: Library) -> None:
    records = taken_in(empty, planted())
    before = empty.ask(LABELS).rows
    report = empty.audit()
    assert empty.ask(LABELS).rows == before
    assert (report.songs, report.labelled, report.why_not_labels) == (160, 160, None)
    assert report.labels is not None
    assert report.labels.judged == 160
    assert report.labels.agreeing > 0.9
    assert found(report) == {
        f"Song {row}": ((genre,), GENRES[row % 4]) for row, genre in PLANTED.items()
    }
    assert sum(each.songs for each in report.labels.taken) == 3
    waiting = empty.proposals()
    assert {each.song for each in waiting} == {records[row].id for row in PLANTED}
    one = next(each for each in report.labels.songs if each.title == "Song 17")
    # Evidence: how it sounds, what similar songs are, and its artist's others.
    assert one.evidence.startswith("sounds like jazz (")
    assert "similar songs" in one.evidence
    assert "of 2 others by jazz artist 1 2 are jazz and none is rock" in one.evidence
    (proposal,) = (each for each in waiting if each.song == one.id)
    assert proposal.evidence == one.evidence
    assert proposal.filed_strength == pytest.approx(one.filed_probability)
    # The Cypher shows the same.
    answer = empty.ask(one.cypher)
    (row,) = (dict(zip(answer.keys, each, strict=True)) for each in answer.rows)
    assert (row["title"], row["filed"], row["proposed"]) == ("Song 17", ["rock"], "jazz")
    assert row["artistsOtherSongs"] == ["jazz", "jazz"]
    assert len(row["similarSongs"]) > 2
    assert len(empty.ask(report.labels.cypher).rows) == 3
    # The artists of these songs are spread now.
    assert {each.artist for each in report.artists} == {
        "jazz artist 1", "blues artist 3", "rock artist 4",
    }  # fmt: skip
    rows = empty.ask(report.artists[0].cypher).rows
    assert sorted(each[1] for each in rows) == [1, 2]
    # Nothing is left to chance: the same again.
    assert empty.audit() == report


def test_what_the_owner_said_is_left_alone_and_learned_from(empty: Library) -> None:
    records = taken_in(empty, planted())
    empty.audit()
    empty.accept(records[17].id, "jazz")
    empty.reject(records[40].id, "blues")
    empty.accept(records[2].id, "techno")  # an owner's word, however odd
    report = empty.audit()
    assert [*found(report)] == ["Song 58"]
    assert report.labels is not None
    assert (report.labels.decided, report.labels.kept) == (2, 1)
    assert {each.song for each in empty.proposals()} == {records[58].id}
    # A rejected label counts as long as it is the same.
    taken_in(empty, [replace(r, genres=("techno",)) if r is records[40] else r for r in records])
    assert sorted(map(str, found(empty.audit()))) == ["Song 40", "Song 58"]


def test_several_genres_a_song(empty: Library) -> None:
    records = made_up(160)[0]
    both = ("rock", "techno")
    records = [
        replace(each, genres=both) if each.genres[0] in both and row % 3 else each
        for row, each in enumerate(records)
    ]
    records[8] = replace(records[8], genres=("blues", "rock"))
    records[5] = replace(records[5], genres=("techno",))
    taken_in(empty, records)
    before = empty.ask(LABELS).rows
    report = empty.audit()
    assert report.labels is not None
    there = {each.title: each for each in report.labels.songs}
    extra, wrong = there["Song 8"], there["Song 5"]
    assert (extra.kind, extra.genre, extra.replaces) == ("extra", "blues", ("rock",))
    assert (wrong.kind, wrong.genre, wrong.replaces) == ("wrong", "jazz", ("techno",))
    waiting = {each.song: each for each in empty.proposals()}
    done = empty.accept(records[8].id, "blues", proposal=waiting[records[8].id])
    assert (done.before, done.after) == (("blues", "rock"), ("blues",))
    assert records[8].id not in {each.song for each in empty.proposals()}
    empty.undo()
    assert empty.ask(LABELS).rows == before
    again = {each.song: each for each in empty.proposals()}
    assert again[records[8].id].replaces == ("rock",)


def test_a_song_in_two_folders_makes_no_library_of_several_genres(empty: Library) -> None:
    records = planted()
    records[100] = replace(records[100], genres=("blues", "rock"))
    taken_in(empty, records)
    report = empty.audit()
    assert report.labels is not None
    assert {each.title for each in report.labels.songs} == {f"Song {row}" for row in PLANTED}
    assert {each.kind for each in report.labels.songs} == {"wrong"}


def test_libraries_without_anything_to_judge(empty: Library) -> None:
    with pytest.raises(NotReadyError, match="run `kg ingest"):
        empty.audit()
    records = taken_in(empty, made_up(24)[0])  # two artists a genre
    report = empty.audit()
    assert report.labels is None
    assert "two genres with songs by 3 artists" in str(report.why_not_labels)
    assert empty.proposals() == []
    # One more artist of three genres: the fourth one can't be judged.
    assert "a song by nobody known counts as an artist" in str(report.why_not_labels)
    more = [each for each in made_up(36)[0] if each.genres != ("techno",) or each in records]
    features = made_up(36)[1][[row for row, r in enumerate(made_up(36)[0]) if r in more]]
    empty.ingest_table(table_of(more, features))
    labels = empty.audit().labels
    assert labels is not None
    assert labels.unjudged == {SCARCE: 6}
    assert labels.judged == 27


def test_no_label_at_all(empty: Library) -> None:
    taken_in(empty, [replace(each, genres=()) for each in made_up(24)[0]])
    assert empty.audit().why_not_labels == "No song has a genre: there is no label to judge."


def test_songs_by_nobody_known_are_counted(empty: Library) -> None:
    names = {1: None, 2: "Various Artists", 3: None}
    records = [
        replace(each, artist=names.get(row, each.artist)) for row, each in enumerate(planted())
    ]
    taken_in(empty, records)
    labels = empty.audit().labels
    assert labels is not None
    assert (labels.judged, labels.nameless) == (160, 3)


def test_copies_of_a_table_are_called_by_its_keys(empty: Library) -> None:
    records, features = made_up(48)
    features[7] = features[3]
    empty.ingest_table(table_of(records, features))
    (copy,) = empty.audit().copies
    assert {*copy.paths} == {"T3", "T7"}
    assert not copy.printed
    ((_, path, _, other, *_),) = empty.ask(copy.cypher).rows
    assert (path, other) == copy.paths


def last(library: Library) -> LastAudit:
    found = library.status().audit
    assert found is not None
    return found


def test_the_graph_says_when_an_audit_ran_and_what_changed_since(
    empty: Library, tmp_path: Path
) -> None:
    records = taken_in(empty, planted())
    assert empty.status().audit is None
    began = datetime.now(UTC)
    report = empty.audit()
    audit = last(empty)
    assert began <= audit.created_at <= datetime.now(UTC)
    assert (audit.songs, audit.labelled, audit.judged) == (160, 160, 160)
    assert (audit.listened, audit.unheard) == (False, 0)
    found = (audit.disputed, audit.artists, audit.copies, audit.files, audit.faults)
    assert found == (3, 3, len(report.copies), 0, 0)
    assert (audit.decided, audit.since) == (0, [])
    asked = empty.ask("MATCH (a:Audit) RETURN a.songs, a.disputed, a.createdAt.year").rows
    assert asked == [[160, 3, audit.created_at.year]]
    empty.accept(records[17].id, "jazz")
    assert (last(empty).since, last(empty).outdated) == (["1 decision"], False)
    assert last(empty).disputed == 3  # that is what it found
    empty.undo()
    assert last(empty).since == []
    # Another label of a table, and fewer songs.
    taken_in(empty, [replace(r, genres=("blues",)) if r is records[2] else r for r in records])
    assert last(empty).since == ["other labels"]
    # A dump carries it along.
    empty.dump(tmp_path / "all.kg")
    empty.connection.write(lambda tx: tx.run("MATCH (n) DETACH DELETE n").consume())
    empty.load(tmp_path / "all.kg")
    assert last(empty).outdated
    assert replace(last(empty), since=[], outdated=False) == audit
    empty.forget(records[2].id)
    assert last(empty).since == ["1 fewer song"]
    empty.forget([each.id for each in records if each is not records[2]])
    assert empty.status().audit is None
    assert empty.ask("MATCH (a:Audit) RETURN a").rows == []


def test_an_audit_that_is_cut_off_never_was(
    empty: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_in(empty, made_up(36)[0])
    empty.audit(listen=True)
    assert last(empty).listened

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(auditing, "write_disputes", broken)
        with pytest.raises(KeyboardInterrupt):
            empty.audit()
    assert empty.status().audit is None
    empty.audit()
    assert not last(empty).listened
