"""The disk fills up: that is said in one sentence, and with room the same command finishes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kg import Library
from kg.graph import embedded
from kg.graph.connection import Connection
from kg.settings import Settings
from tests.conftest import empty, environment_of
from tests.crashes.harness import check_whole, contents, differences, run
from tests.neo4j import starter

MEGABYTE = 1 << 20


class SmallDisk:
    """A file system of its own, which can be filled and emptied."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self._filler = folder / "filler"

    def fill(self, free: int) -> None:
        """Leave so many bytes."""
        disk = os.statvfs(self._filler.parent)
        with self._filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - free)

    def make_room(self) -> None:
        self._filler.unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if sys.platform != "linux" or os.getuid() != 0:
        pytest.skip("only root on Linux can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no small disk can be mounted: {done.stderr.strip()}")
    disk = SmallDisk(folder)
    try:
        yield disk
    finally:
        embedded.kill(disk.home / "server")
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def told_in_one_sentence(text: str) -> bool:
    errors = [line for line in text.splitlines() if line.startswith("Error: ")]
    return len(errors) == 1 and any(
        words in errors[0] for words in ("is full", "No space left", "no space left")
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "free", [MEGABYTE // 4, pytest.param(2 * MEGABYTE, marks=pytest.mark.full)]
)
def test_under_the_embedded_server(small_disk: SmallDisk, music: Path, free: int) -> None:
    settings = Settings(kg_home=small_disk.home)
    environment = environment_of(settings)
    arguments = ("ingest", music, "--genres-from", "folder")
    embedded.start(settings.make_home() / "server")
    small_disk.fill(free)
    ended = run(environment, *arguments)
    assert ended.code == 1
    assert told_in_one_sentence(ended.err), ended.err
    small_disk.make_room()
    embedded.stop(settings.server_dir)
    again = run(environment, *arguments)
    assert again.code == 0, again.err
    with Connection.open(settings) as connection:
        check_whole(connection)
        mended = contents(connection)
        empty(connection)
    with Library(settings) as library:
        library.ingest(music, genres_from="folder")
        assert not differences(mended, contents(library.connection))


@pytest.mark.slow
def test_under_the_home_of_a_client(
    small_disk: SmallDisk, real_neo4j: starter.Address, music: Path
) -> None:
    settings = Settings(
        kg_home=small_disk.home,
        neo4j_uri=real_neo4j.uri,
        neo4j_username=real_neo4j.username,
        neo4j_password=real_neo4j.password,
        neo4j_database=real_neo4j.database,
    )
    with Connection.open(settings) as connection:
        empty(connection)
    settings.make_home()
    arguments = ("ingest", music, "--genres-from", "folder", "--json")
    small_disk.fill(0)
    ended = run(environment_of(settings), *arguments)
    assert ended.code in (1, 2)
    assert told_in_one_sentence(ended.err), ended.err
    small_disk.make_room()
    small_disk.fill(16 << 10)
    ended = run(environment_of(settings), *arguments)
    assert ended.code == 1
    assert told_in_one_sentence(ended.err), ended.err
    small_disk.make_room()
    again = run(environment_of(settings), *arguments)
    assert again.code == 0, again.err
    with Connection.open(settings) as connection:
        check_whole(connection)
        assert connection.ask("MATCH (s:Song) RETURN count(s)").rows == [[24]]
