"""The owner's genres reach the files, the library takes these for the same songs, all goes back."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kg import Library
from kg.audio.synth import GENRES, write_song
from kg.audio.tags import read_tags
from kg.errors import KgError
from kg.files import content_id
from kg.graph.locks import FileLock
from kg.intake import audio
from kg.learning.training import TrainOptions
from kg.tagging import writing
from kg.tagging.backups import LISTING
from kg.tagging.contents import known_contents
from kg.tagging.fields import write_genres
from tests.watching.test_watch import Watched

FIRST, SECOND, THIRD = GENRES[:3]
EVERYTHING = (
    "MATCH (n) RETURN labels(n)[0], properties(n)",
    "MATCH (a)-[r]->(b) RETURN type(r), coalesce(a.id, a.name), b.id, b.name, properties(r)",
)


@pytest.fixture
def mine(music: Path, tmp_path: Path) -> Path:
    """Twelve songs of two genres, and six of a third whose genre nobody told."""
    folder = tmp_path / "mine"
    for genre in (FIRST, SECOND):
        shutil.copytree(music / genre, folder / "told" / genre)
    shutil.copytree(music / THIRD, folder / "untold" / THIRD)
    return folder


@pytest.fixture
def told(library: Library, mine: Path) -> Library:
    library.ingest(mine / "told", genres_from="folder")
    return library


def song(mine: Path, number: int = 0) -> Path:
    return mine / "told" / FIRST / f"{FIRST}-{number}.flac"


def everything(library: Library) -> list[str]:
    """The graph, but for what it knows of files that were written."""
    rows = [row for text in EVERYTHING for row in library.ask(text).rows]
    for row in rows:
        # A server keeps properties in the order in which they came.
        row[-1] = sorted(
            item for item in row[-1].items() if item[0] not in ("contents", "tagGenres")
        )
    return sorted(map(repr, rows))


def listing(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_a_decision_reaches_its_file_and_goes_back(told: Library, mine: Path) -> None:
    one = song(mine)
    was = {path: path.read_bytes() for path in mine.rglob("*.flac")}
    there, id = listing(mine), content_id(one)
    assert told.write_tags().changes == []  # what folders say, nobody decided
    told.accept(one, SECOND)
    plan = told.write_tags()
    ((change),) = plan.changes
    assert (change.path, change.before, change.after) == (one, (FIRST,), (SECOND,))
    assert (change.said_by, plan.written, plan.backup) == ("owner", False, None)
    assert {path: path.read_bytes() for path in was} == was

    graph = everything(told)
    report = told.write_tags(dry_run=False)
    assert [each.path for each in report.changes] == [one]
    assert read_tags(one).genres == (SECOND,)
    assert report.backup is not None
    (kept,) = map(json.loads, (report.backup / LISTING).read_text("ascii").splitlines())
    assert (kept["path"], kept["before"], kept["after"]) == (str(one), id, content_id(one))
    assert {path: path.read_bytes() for path in was if path != one} == {
        path: bytes for path, bytes in was.items() if path != one
    }
    assert listing(mine) == there
    # The same song, to whatever meets it.
    again = told.ingest(mine / "told", genres_from="folder", prune=lambda removal: None)
    assert (again.taken, again.cached, again.rebuilt, again.pruned) == (12, 12, False, 0)
    assert everything(told) == graph
    added = told.add(one)
    assert not added.added
    assert "already in the library" in added.rejected[0].reason
    # A second time there is nothing to write.
    assert (told.write_tags(dry_run=False).same, told.write_tags().changes) == (1, [])

    undone = told.undo_tags()
    assert undone is not None
    assert (undone.restored, undone.left_out) == ([one], [])
    assert {path: path.read_bytes() for path in was} == was
    assert listing(mine) == there
    assert told.undo_tags() is None
    told.ingest(mine / "told", genres_from="folder")
    assert everything(told) == graph


def test_written_twice_undone_twice(told: Library, mine: Path) -> None:
    one = song(mine)
    was = one.read_bytes()
    told.accept(one, SECOND)
    told.write_tags(dry_run=False)
    first = one.read_bytes()
    told.accept(one, THIRD, replaces=(), new=True)
    told.write_tags(dry_run=False)
    assert {*read_tags(one).genres} == {SECOND, THIRD}
    assert told.ingest(mine / "told", genres_from="folder").rebuilt is False
    told.undo_tags()
    assert one.read_bytes() == first
    told.undo_tags()
    assert one.read_bytes() == was
    assert told.undo_tags() is None
    # Written once more, the graph knows these bytes already.
    assert len(told.write_tags(dry_run=False).changes) == 1
    contents = told.ask("MATCH (s:Song) WHERE s.contents IS NOT NULL RETURN size(s.contents)").rows
    assert contents == [[2]]


def test_a_model_s_word_never_comes_back_as_the_owner_s(told: Library, mine: Path) -> None:
    """Genres that kg wrote are in the tags, from which `kg ingest` reads what owners say."""
    untold = mine / "untold"
    write_genres(next(untold.rglob("*.flac")), ["Said Before"])
    told.ingest(untold, genres_from="none")
    told.train(TrainOptions(epochs=5, precision=0.01))
    told.connection.write(lambda tx: tx.run("MATCH (s:Song) SET s.doubt = null").consume())
    sure = sorted(each.strength for each in told.proposals())[2]
    report = told.write_tags(predicted=sure, dry_run=False)
    assert len(report.changes) == 4
    assert {(each.said_by, each.strength is not None) for each in report.changes} == {
        ("model", True)
    }
    assert all({*read_tags(each.path).genres} <= {FIRST, SECOND} for each in report.changes)
    predictions = "MATCH (s:Song)-[r:PREDICTED_GENRE]->(g) RETURN s.id, g.name, r.probability"
    before = sorted(told.ask(predictions).rows)
    again = told.ingest(untold, genres_from="none")
    assert (again.taken, again.cached, again.rebuilt) == (6, 6, False)
    assert sorted(told.ask(predictions).rows) == before
    told.ingest(untold, genres_from="tag")
    rows = told.ask("MATCH (s:Song)-[r:IN_GENRE {source: 'tag'}]->(g:Genre) RETURN g.name").rows
    assert sorted(rows) == sorted([["Said Before"], *[[THIRD]] * 5])
    assert sorted(told.ask(predictions).rows) == before


def test_a_watch_sees_the_same_song(told: Library, mine: Path) -> None:
    one = song(mine)
    told.accept(one, SECOND)
    graph = everything(told)
    with Watched(told.settings, mine / "told") as watched:
        report = told.write_tags(dry_run=False)
        assert len(report.changes) == 1
        watched.nothing(3)
        two = one.with_name("moved.flac")
        one.rename(two)
        (moved,) = watched.next("moved")
        assert moved.path == two
        two.rename(one)
        watched.next("moved")
        told.undo_tags()
        watched.nothing(3)
    assert everything(told) == graph


def test_songs_without_a_network_s_ear_get_it_after_writing(told: Library, mine: Path) -> None:
    """A file that was written is still the song whose file is looked for."""
    one = song(mine)
    id = content_id(one)
    told.accept(one, SECOND)
    told.write_tags(dry_run=False)
    known = known_contents(told.connection)
    assert audio.file_of(id, [str(one)], known) == one
    assert audio.file_of(id, [str(one)], {}) is None


def test_files_that_stay_as_they_are(told: Library, mine: Path) -> None:
    paths = [song(mine, number) for number in range(6)]
    for path in paths:
        told.accept(path, SECOND)
    changed, gone, locked, linked, copied, plain = paths
    changed.write_bytes(changed.read_bytes() + b"\0")
    gone.unlink()
    locked.chmod(0o444)
    real = mine / "elsewhere.flac"
    linked.rename(real)
    linked.symlink_to(real)
    copy = mine / "told" / FIRST / "copy.flac"
    shutil.copyfile(copied, copy)
    told.connection.write(
        lambda tx: tx.run(
            "MATCH (s:Song {id: $id}) SET s.paths = $paths",
            id=content_id(copied),
            paths=[str(copied), str(copy)],
        ).consume()
    )
    was = {path: path.read_bytes() for path in (changed, locked, real)}
    report = told.write_tags(dry_run=False)
    assert {each.path for each in report.changes} == {linked, copied, copy, plain}
    reasons = {each.path: each.reason for each in report.left_out}
    assert "has changed since" in reasons[changed]
    assert reasons[gone] == "no longer there"
    assert "read-only" in reasons[locked]
    assert changed.read_bytes() == was[changed]
    assert locked.read_bytes() == was[locked]
    assert linked.is_symlink()
    assert read_tags(real).genres == (SECOND,)
    assert content_id(copied) == content_id(copy)
    # What the owner changes afterwards isn't undone over.
    write_genres(plain, ["Mine"])
    mended = plain.read_bytes()
    undone = told.undo_tags()
    assert undone is not None
    assert {*undone.restored} == {linked, copied, copy}
    (left,) = undone.left_out
    assert left.path == plain
    assert "has changed since" in left.reason
    assert f"its genres were: {FIRST}" in left.reason
    assert plain.read_bytes() == mended
    assert real.read_bytes() == was[real]


def test_only_these_songs(told: Library, mine: Path) -> None:
    for number in range(3):
        told.accept(song(mine, number), SECOND)
    assert [each.path for each in told.write_tags(song(mine, 1)).changes] == [song(mine, 1)]
    assert len(told.write_tags([str(song(mine, 1)), song(mine, 2)]).changes) == 2
    with pytest.raises(KgError, match="no song of the library"):
        told.write_tags("nowhere")


def test_no_file_becomes_another_song(told: Library, mine: Path) -> None:
    """The same sound twice, with and without a genre tag: two songs, which must stay two."""
    one = song(mine)
    two = one.with_name("tagged.flac")
    shutil.copyfile(one, two)
    write_genres(two, [SECOND])
    told.ingest(mine / "told", genres_from="folder")
    told.accept(one, SECOND)
    was = one.read_bytes()
    report = told.write_tags(one, dry_run=False)
    assert not report.changes
    assert "the file of another song" in report.left_out[0].reason
    assert one.read_bytes() == was
    assert report.backup is None


def test_killed_at_any_point(told: Library, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are old or new, never between, and what was done can be undone."""
    paths = [song(mine, number) for number in range(3)]
    was = [path.read_bytes() for path in paths]
    for path in paths:
        told.accept(path, SECOND)
    there = listing(mine)
    put: Callable[..., Any] = writing._put
    count = 0

    def interrupted(copy: Path, path: Path) -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        put(copy, path)

    monkeypatch.setattr(writing, "_put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        told.write_tags(dry_run=False)
    monkeypatch.undo()
    assert listing(mine) == there
    tagged = [read_tags(path).genres == (SECOND,) for path in paths]
    assert sum(tagged) == 1
    assert told.ingest(mine / "told", genres_from="folder").rebuilt is False
    undone = told.undo_tags()
    assert undone is not None
    assert len(undone.restored) == 1
    assert [path.read_bytes() for path in paths] == was
    assert len(told.write_tags(dry_run=False).changes) == 3


def test_what_a_killed_run_left_is_removed(
    told: Library, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing cleans up when a process is killed: the next run does."""
    for number in range(3):
        told.accept(song(mine, number), SECOND)
    there, tags = listing(mine), told.settings.tags_dir

    class KilledError(BaseException):
        pass

    def killed(*_: object) -> None:
        # What is on the disk now is what a kill leaves.
        shutil.copytree(mine, mine.with_name("left"))
        shutil.copytree(tags, tags.with_name("left"), dirs_exist_ok=True)
        raise KilledError

    def leave(when: str) -> None:
        monkeypatch.setattr(writing, "_put", killed)
        with pytest.raises(KilledError):
            told.undo_tags() if when == "undo" else told.write_tags(dry_run=False)
        monkeypatch.undo()
        for now, then in ((mine, mine.with_name("left")), (tags, tags.with_name("left"))):
            shutil.rmtree(now)
            then.rename(now)
        assert listing(mine) != there

    leave("write")
    assert len(told.write_tags(dry_run=False).changes) == 3
    assert listing(mine) == there
    leave("undo")
    undone = told.undo_tags()
    assert undone is not None
    assert len(undone.restored) == 3
    assert listing(mine) == there
    leave("write")
    # Two runs wrote nothing: nothing is restored, and no earlier run is touched with them.
    for _ in range(2):
        assert told.undo_tags() == writing.UndoReport([], [])
        assert listing(mine) == there
    assert told.undo_tags() is None
    assert [each.name for each in tags.iterdir()] == ["lock"]


def test_a_file_that_can_not_be_restored_blocks_no_earlier_run(told: Library, mine: Path) -> None:
    one, two, three = (song(mine, number) for number in range(3))
    was = one.read_bytes()
    told.accept(one, SECOND)
    told.write_tags(dry_run=False)
    for path in (two, three):
        told.accept(path, SECOND)
    told.write_tags(dry_run=False)
    write_genres(two, ["Mine"])
    three.rename(three.with_suffix(".moved"))
    undone = told.undo_tags()
    assert undone is not None
    assert undone.restored == [one]
    assert [each.path for each in undone.left_out] == [two, three]
    assert one.read_bytes() == was
    # What comes back is restored still.
    three.with_suffix(".moved").rename(three)
    undone = told.undo_tags()
    assert undone is not None
    assert undone.restored == [three]


def test_a_file_that_moved_is_found_where_the_library_has_it(told: Library, mine: Path) -> None:
    one = song(mine)
    was, copy = one.read_bytes(), one.with_name("copy.flac")
    shutil.copyfile(one, copy)
    told.ingest(mine / "told", genres_from="folder")
    told.accept(one, SECOND)
    assert len(told.write_tags(dry_run=False).changes) == 2
    moved = mine / "told" / SECOND / "moved.flac"
    one.rename(moved)
    told.ingest(mine / "told", genres_from="folder")
    undone = told.undo_tags()
    assert undone is not None
    assert ({*undone.restored}, undone.left_out) == ({moved, copy}, [])
    assert moved.read_bytes() == copy.read_bytes() == was
    assert told.undo_tags() is None


def test_a_disk_that_is_not_there_is_waited_for(told: Library, mine: Path) -> None:
    one, two = song(mine), mine / "told" / SECOND / f"{SECOND}-0.flac"
    for path, genre in ((one, SECOND), (two, FIRST)):
        told.accept(path, genre)
        told.write_tags(dry_run=False)
    disk, away = two.parent, mine / "away"
    disk.rename(away)
    disk.mkdir()  # as where a disk isn't mounted
    undone = told.undo_tags()
    assert undone is not None
    assert undone.restored == []
    disk.rmdir()
    away.rename(disk)
    undone = told.undo_tags()
    assert undone is not None
    assert undone.restored == [two]


def test_a_file_that_changes_while_its_copy_is_made(
    told: Library, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its bytes, as some programs keep the time of files that they change."""
    one = song(mine)
    told.accept(one, SECOND)
    keep = writing.Backup.keep

    def changing(self: Any, files: Any) -> None:
        keep(self, files)
        status = one.stat()
        one.write_bytes(one.read_bytes() + b"\0")
        os.utime(one, ns=(status.st_atime_ns, status.st_mtime_ns))

    monkeypatch.setattr(writing.Backup, "keep", changing)
    report = told.write_tags(dry_run=False)
    assert report.changes == []
    assert "has changed since" in report.left_out[0].reason
    assert one.read_bytes().endswith(b"\0")


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="this system knows no such attributes")
def test_what_desktops_note_beside_a_file_stays(told: Library, mine: Path) -> None:
    one = song(mine)
    try:
        os.setxattr(one, "user.note", b"dear")
    except OSError:
        pytest.skip("this disk keeps no attributes")
    told.accept(one, SECOND)
    told.write_tags(dry_run=False)
    assert os.getxattr(one, "user.note") == b"dear"
    told.undo_tags()
    assert os.getxattr(one, "user.note") == b"dear"


def test_a_run_that_noted_nothing_is_no_run(
    told: Library, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No copy could be made, or the backup's disk was full as the first file was to be noted."""
    one, two = song(mine), song(mine, 1)
    was = one.read_bytes()
    told.accept(one, SECOND)
    told.write_tags(dry_run=False)
    told.accept(two, SECOND)
    with monkeypatch.context() as full:
        full.setattr(writing, "_copy_of", lambda path: mine / "nowhere" / path.name)
        report = told.write_tags(dry_run=False)
    assert (report.changes, report.backup) == ([], None)
    assert len(list(told.settings.tags_dir.glob("*/"))) == 1
    later = told.settings.tags_dir / "9"
    later.mkdir()
    (later / LISTING).write_text('{"path": "/cut/o')
    undone = told.undo_tags()
    assert undone is not None
    assert (undone.restored, one.read_bytes()) == ([one], was)
    assert not later.exists()


def test_one_at_a_time_and_damaged_backups(told: Library, mine: Path) -> None:
    one = song(mine)
    told.accept(one, SECOND)
    folder = told.settings.tags_dir
    folder.mkdir()
    lock = FileLock(folder / "lock")
    assert lock.take(wait=False)
    with pytest.raises(KgError, match="Another `kg write-tags`"):
        told.write_tags(dry_run=False)
    lock.release()
    report = told.write_tags(dry_run=False)
    assert report.backup is not None
    (difference,) = report.backup.glob("*.difference")
    whole, written = difference.read_bytes(), one.read_bytes()
    difference.write_bytes(whole[:-9])
    undone = told.undo_tags()
    assert undone is not None
    assert undone.left_out[0].reason == "its backup is damaged"
    assert one.read_bytes() == written
    difference.write_bytes(whole)
    undone = told.undo_tags()
    assert undone is not None
    assert undone.restored == [one]
    (report.backup.parent / "x").mkdir()
    (report.backup.parent / "x" / LISTING).write_text("{}\n")
    with pytest.raises(KgError, match="can't be read"):
        told.undo_tags()


def test_a_folder_that_can_not_be_written(told: Library, mine: Path) -> None:
    if os.geteuid() == 0:
        # Root may write anywhere; a file in the copy's place can't be replaced by anybody.
        writing._copy_of(song(mine)).mkdir()
    else:
        song(mine).parent.chmod(0o555)
    told.accept(song(mine), SECOND)
    was = song(mine).read_bytes()
    report = told.write_tags(dry_run=False)
    assert not report.changes
    assert "can't be written" in report.left_out[0].reason
    assert song(mine).read_bytes() == was


def test_tables_have_no_files(library: Library, tmp_path: Path) -> None:
    rows = [f"s{n},{(n % 2 and 'rock') or 'jazz'},{n},{n * n % 7}" for n in range(12)]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["id,genre,a,b", *rows]) + "\n")
    library.ingest_table(library.open_table(table).source)
    library.accept("s1", "blues", new=True)
    report = library.write_tags(dry_run=False)
    assert (report.without_file, report.changes) == (1, [])


def test_a_song_may_come_back(told: Library, mine: Path) -> None:
    """Forgotten with what was known of its file, it is a new song by its bytes as they are."""
    one = song(mine)
    id = content_id(one)
    told.accept(one, SECOND)
    told.write_tags(dry_run=False)
    told.forget(id)
    told.ingest(mine / "told", genres_from="folder")
    rows = told.ask("MATCH (s:Song {path: $path}) RETURN s.id", {"path": str(one)}).rows
    assert rows == [[content_id(one)]]
    assert content_id(one) != id


def test_a_new_copy_of_a_written_file_joins_its_song(told: Library, mine: Path) -> None:
    one = song(mine)
    id, other = content_id(one), mine / "told" / SECOND / "copy.flac"
    shutil.copyfile(one, mine / "told" / FIRST / "old.flac")  # the old bytes too
    told.accept(one, SECOND)
    told.write_tags(dry_run=False)
    shutil.copyfile(one, other)
    report = told.ingest(mine / "told", genres_from="folder")
    assert report.rebuilt is False
    ((paths,),) = told.ask("MATCH (s:Song {id: $id}) RETURN s.paths", {"id": id}).rows
    assert paths == sorted(map(str, (one, other, mine / "told" / FIRST / "old.flac")))
    new = write_song(mine / "told" / FIRST / "new.flac", FIRST, seconds=2.0, seed=77, artist=9)
    assert told.ingest(mine / "told", genres_from="folder").taken == 13
    assert content_id(new) in told.store.known([content_id(new)])
