from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kg.audio.decode import decode
from kg.audio.features import features
from kg.audio.synth import GENRES, play, write_library, write_song
from kg.audio.tags import read_tags
from kg.errors import WrongUsageError


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    one = write_library(tmp_path / "one", songs=8, seconds=1.2, seed=5)
    two = write_library(tmp_path / "two", songs=8, seconds=1.2, seed=5)
    other = write_library(tmp_path / "other", songs=8, seconds=1.2, seed=6)
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert not {p.read_bytes() for p in one} & {p.read_bytes() for p in other}


def test_library_is_balanced_and_tagged(tmp_path: Path) -> None:
    paths = write_library(tmp_path, songs=60, seconds=1.0)
    assert len(set(paths)) == 60
    counts = Counter(path.parent.name for path in paths)
    assert set(counts) == set(GENRES)
    assert max(counts.values()) - min(counts.values()) <= 1
    clips: Counter[str] = Counter()
    genres = defaultdict(set)
    for path in paths:
        tags = read_tags(path)
        assert tags.genres == (path.parent.name,)
        assert tags.title
        assert tags.album
        assert tags.year
        assert tags.artist
        clips[tags.artist] += 1
        genres[tags.artist].update(tags.genres)
    assert all(len(each) == 1 for each in genres.values())
    assert set(clips.values()) <= {3, 4, 5}
    assert min(Counter(genre for each in genres.values() for genre in each).values()) >= 2


@pytest.mark.parametrize("genre", GENRES)
def test_songs_sound_and_do_not_clip(genre: str) -> None:
    samples = play(genre, seconds=2.0, seed=1)
    assert len(samples) == 2 * 22_050
    assert np.abs(samples).max() == pytest.approx(0.9)
    assert 0.02 < np.sqrt(np.mean(samples**2)) < 0.5
    assert not np.array_equal(samples, play(genre, seconds=2.0, seed=2))


def test_one_song(tmp_path: Path) -> None:
    path = write_song(tmp_path / "new" / "song.flac", "waltz", seconds=1.5, title="Unheard")
    assert decode(path).duration == pytest.approx(1.5)
    assert read_tags(path).title == "Unheard"
    with pytest.raises(WrongUsageError, match="waltz"):
        write_song(tmp_path / "x.flac", "polka")


@pytest.mark.slow
def test_genres_can_be_told_apart(tmp_path: Path) -> None:
    paths = write_library(tmp_path, songs=70, seconds=6.0, seed=1)
    table = np.stack([features(decode(path).samples) for path in paths])
    genres = np.array([path.parent.name for path in paths])
    artists = np.array([read_tags(path).artist for path in paths])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    folds = StratifiedGroupKFold(3)
    accuracy = cross_val_score(model, table, genres, groups=artists, cv=folds).mean()
    assert accuracy > 0.8
