"""Fixtures: a small library made on the spot, and a `Library` that need not listen to it again."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kg import Library
from kg.audio.extract import extract
from kg.audio.synth import GENRES, write_song
from kg.settings import Settings
from kg.sources.folder import scan


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small library: 4 made-up genres, in each 3 artists of 2 songs, 2 s long."""
    folder = tmp_path_factory.mktemp("library") / "music"
    for genre in GENRES[:4]:
        for number in range(6):
            path = folder / genre / f"{genre}-{number}.flac"
            write_song(path, genre, seconds=2.0, seed=number, artist=number // 2)
    return folder


@pytest.fixture(scope="session")
def heard(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A feature cache that knows the songs of `music`."""
    cache = tmp_path_factory.mktemp("heard") / "cache"
    extract([(record.id, record.path) for record in scan([music]).records if record.path], cache)
    return cache


@pytest.fixture
def library(server: Settings, heard: Path) -> Iterator[Library]:
    """A library on an emptied database, which need not listen to `music` again."""
    shutil.copytree(heard, server.cache_dir)
    with Library(server) as library:
        yield library
