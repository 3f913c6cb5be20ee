"""Broken audio and copies are found by what is on songs, each with evidence and its Cypher."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import soundfile

from kg import Library
from kg.audit.copies import find_copies, read_copies, same_files, write_copies
from kg.audit.faults import find_faults
from kg.audit.listening import listen_to_unheard
from kg.graph.dump import write_dump
from kg.progress import Advance
from kg.settings import Settings
from tests.audit.tunes import RATE, faster, tune

T = TypeVar("T")

FORGET = """
MATCH (s:Song)
REMOVE s.clipping, s.silence, s.missing, s.imbalance, s.soundPrint
"""


def write(path: Path, samples: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE)
    return path


class Turns:
    """Counts turns, and notes whether one is taken whenever a song has been heard."""

    def __init__(self) -> None:
        self.taken = 0
        self.heard: set[bool] = set()
        self._mine = False

    def take(self, step: Callable[[], T]) -> T:
        self.taken += 1
        self._mine = True
        try:
            return step()
        finally:
            self._mine = False

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        yield lambda steps, rejected=0, note=None: self.heard.add(self._mine)

    def say(self, message: str) -> None:
        pass


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Songs, some of them broken, some of them there more than once."""
    folder = tmp_path_factory.mktemp("broken") / "<b>music</b>"
    gap = tune(1)
    gap[15 * RATE : 21 * RATE] = 0
    write(folder / "fine.flac", tune(0))
    write(folder / "it's loud.flac", np.clip(12 * tune(2), -1, 1))
    write(folder / "gap.flac", gap)
    write(folder / "left.flac", np.stack([tune(3), 0.001 * tune(3)], axis=1))
    broken = write(folder / "broken.flac", tune(4))
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size * 3 // 4])
    write(folder / "again.wav", 0.5 * tune(0))
    write(folder / "cut.flac", tune(0)[6 * RATE :])
    write(folder / "higher.flac", tune(0, semitones=2))
    write(folder / "slower.flac", faster(tune(0), 0.96))
    twin = folder / "more" / "fine too.flac"
    twin.parent.mkdir()
    twin.write_bytes((folder / "fine.flac").read_bytes())
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def broken(server: Settings, files: Path, cache: Path) -> Library:
    """A library of these; the second one hears nothing anew."""
    server.cache_dir.symlink_to(cache)
    library = Library(server)
    library.ingest(files, genres_from="none", embeddings=["none"])
    return library


def named(path: str | None) -> str:
    return Path(path or "").name


def test_what_is_broken_is_found_with_its_evidence(broken: Library) -> None:
    with broken as library:
        faults = find_faults(library.connection)
        assert faults.unheard == 0
        said = {(named(fault.path), fault.kind): fault for fault in faults.found}
        assert sorted(said) == [
            ("broken.flac", "cut off"),
            ("gap.flac", "silent"),
            ("it's loud.flac", "clipped"),
            ("left.flac", "one-sided"),
        ]
        assert said["broken.flac", "cut off"].value == pytest.approx(10.0, abs=1.5)
        assert said["gap.flac", "silent"].evidence == "20 % of what was listened to is silent"
        assert "60 dB fainter" in said["left.flac", "one-sided"].evidence
        assert "the file breaks off" in said["broken.flac", "cut off"].evidence
        for fault in faults.found:
            ((title, path, _, clipping, silence, missing, imbalance),) = library.ask(
                fault.cypher
            ).rows
            assert (title, path) == (fault.title, fault.path)
            shown = {"clipped": clipping, "silent": silence, "cut off": missing}
            assert shown.get(fault.kind, imbalance) == fault.value


def test_copies_are_found_shown_and_replaced(broken: Library, files: Path) -> None:
    with broken as library:
        copies = find_copies(library.connection)
        assert copies.unheard == 0
        (twin,) = copies.files
        assert [named(path) for path in twin.paths] == ["fine.flac", "fine too.flac"]
        assert library.ask(twin.cypher).rows == [[twin.title, list(twin.paths)]]
        assert read_copies(library.connection) == []  # finding writes nothing
        # Of five versions of one song each is found to be each other one.
        names = {"fine.flac", "again.wav", "cut.flac", "higher.flac", "slower.flac"}
        pairs = {frozenset(map(named, copy.paths)): copy for copy in copies.found}
        assert set().union(*pairs) == names
        kinds = {
            next(iter(pair - {"fine.flac"})): copy.kind
            for pair, copy in pairs.items()
            if "fine.flac" in pair
        }
        assert kinds == {
            "again.wav": "encoding",
            "cut.flac": "cut",
            "higher.flac": "pitch",
            "slower.flac": "speed",
        }
        best = copies.found[0]
        assert set(map(named, best.paths)) == {"fine.flac", "again.wav"}
        assert best.evidence.startswith("sounds the same, ")
        higher = pairs[frozenset(("fine.flac", "higher.flac"))]
        towards = 1 if named(higher.paths[1]) == "higher.flac" else -1
        assert higher.semitones == 2 * towards
        write_copies(library.connection, copies.found)
        write_copies(library.connection, copies.found)  # in the place of those before
        assert read_copies(library.connection) == list(copies.found)
        for copy in copies.found:
            ((title, path, *_, kind, distance, _, _, _),) = library.ask(copy.cypher).rows
            assert (title, path, kind) == (copy.titles[0], copy.paths[0], copy.kind)
            assert distance == copy.distance
        write_copies(library.connection, [])
        assert read_copies(library.connection) == []


def test_songs_that_an_older_kg_heard_are_listened_to_again(
    broken: Library, cache: Path, files: Path, tmp_path: Path
) -> None:
    with broken as library:
        before = find_faults(library.connection)
        features = library.ask("MATCH (s:Song) RETURN s.id, s.features ORDER BY s.id").rows
        library.connection.write(lambda tx: tx.run(FORGET).consume())
        bare = find_faults(library.connection)
        assert bare.unheard == find_copies(library.connection).unheard == 9
        # What the build found by features stands in for prints.
        (found,) = find_copies(library.connection).found
        assert {named(path) for path in found.paths} == {"fine.flac", "again.wav"}
        assert (found.printed, found.evidence) == (False, "sounds the same by its features")
        # What the cache knows isn't listened to again.
        gone = files / "gap.flac"
        content = gone.read_bytes()
        gone.unlink()
        try:
            told = listen_to_unheard(library.connection, library.settings.cache_dir, 30.0)
        finally:
            gone.write_bytes(content)
        assert (told.looked, told.deaf) == (8, 1)
        after = find_faults(library.connection)
        assert after.unheard == 1
        left = [fault for fault in before.found if fault.kind != "silent"]
        assert list(after.found) == left
        # And where nothing knows, files are listened to; features stay as they are.
        library.connection.write(lambda tx: tx.run(FORGET).consume())
        turns = Turns()
        told = listen_to_unheard(
            library.connection,
            tmp_path / "empty",
            30.0,
            workers=2,
            progress=turns,
            in_turn=turns.take,
        )
        # Nobody else waits while it listens.
        assert turns.taken > 1
        assert turns.heard == {False}
        assert (told.looked, told.deaf) == (9, 0)
        assert find_faults(library.connection) == before
        assert library.ask("MATCH (s:Song) RETURN s.id, s.features ORDER BY s.id").rows == features


def test_what_is_too_short_to_be_laid_over_is_compared_by_features(
    server: Settings, tmp_path: Path
) -> None:
    short = tune(6)[: 8 * RATE]
    for seed in (7, 8, 9):
        write(tmp_path / f"{seed}.flac", tune(seed))
    write(tmp_path / "short.flac", short)
    write(tmp_path / "short.wav", 0.5 * short)
    with Library(server) as library:
        library.ingest(tmp_path, genres_from="none", embeddings=["none"])
        (found,) = find_copies(library.connection).found
    assert {named(path) for path in found.paths} == {"short.flac", "short.wav"}
    assert not found.printed


def test_an_ingest_forgets_no_sound_that_its_cache_lacks(broken: Library, files: Path) -> None:
    with broken as library:
        before = find_faults(library.connection)
        kept = library.settings.cache_dir / "sound"
        aside = kept.with_name("aside")
        kept.rename(aside)
        try:
            library.ingest(files, genres_from="none")
            assert find_faults(library.connection) == before
        finally:
            shutil.rmtree(kept)
            aside.rename(kept)


def test_a_dump_carries_it_along(broken: Library, tmp_path: Path) -> None:
    with broken as library:
        write_copies(library.connection, find_copies(library.connection).found)
        before = read_copies(library.connection), find_faults(library.connection)
        write_dump(library.connection, tmp_path / "all.kg", {})
        library.connection.write(lambda tx: tx.run("MATCH (n) DETACH DELETE n").consume())
        library.load(tmp_path / "all.kg")
        assert (read_copies(library.connection), find_faults(library.connection)) == before
        assert len(same_files(library.connection)) == 1
