"""Tags out of vectors, and what a library's features are called with embeddings."""

import numpy as np
import pytest

from kg.audio.features import feature_set
from kg.embeddings.choice import check_names, cut_off, with_embeddings
from kg.embeddings.musicnn import EMBEDDING
from kg.embeddings.tags import LEAST, MOST, all_tags, strongest, tag_edges
from kg.errors import WrongUsageError
from kg.records import Embedding

HEARS = Embedding("n", "1", "net", ("x", "tag loud", "tag sad", "tag old"))
FILE = Embedding("file:mine", "1", "mine", ("mine_1", "mine_2"))


def test_strongest_tags() -> None:
    vector = np.array([9, 0.2, 0.05, 0.7], np.float32)
    assert strongest(HEARS, vector) == [("old", pytest.approx(0.7)), ("loud", pytest.approx(0.2))]
    weak = np.array([9, 0.02, 0.05, 0.01], np.float32)
    assert strongest(HEARS, weak) == [("sad", pytest.approx(0.05))]
    assert strongest(FILE, np.ones(2, np.float32)) == []
    many = strongest(EMBEDDING, np.linspace(0, 1, 250, dtype=np.float32))
    assert [tag for tag, _ in many[:2]] == ["happy", "House"]
    assert len(many) == MOST
    assert many[-1][1] > LEAST


def test_edges_of_many_songs() -> None:
    kinds = with_embeddings(feature_set(None), [FILE, HEARS])
    x = np.zeros((3, len(kinds.columns)), np.float32)
    x[0, -4:] = [1, 0.5, 0.4, 0.0]
    x[1, -4:] = np.nan
    x[2, -4:] = [1, 0.0, 0.0, 0.3]
    assert all_tags(kinds) == ["loud", "old", "sad"]
    names, edges = tag_edges(kinds, x)
    assert names == ["loud", "old", "sad"]
    assert edges.T.tolist() == [[0, 0], [0, 2], [2, 1]]
    names, edges = tag_edges(feature_set(), x)
    assert names == []
    assert edges.shape == (2, 0)


def test_features_with_embeddings() -> None:
    own = feature_set(10.0)
    assert with_embeddings(feature_set(10.0), []) == own
    kinds = with_embeddings(feature_set(10.0), [HEARS, FILE])
    width = len(own.columns)
    assert kinds.families["net"] == slice(width, width + 4)
    assert kinds.columns[kinds.families["mine"]] == FILE.columns
    assert kinds.families["mfcc"] == own.families["mfcc"]

    def version(*embeddings: Embedding) -> str:
        return with_embeddings(feature_set(10.0), embeddings).version

    newer = Embedding("n", "2", "net", HEARS.columns)
    updated = Embedding("file:mine", "2", "mine", FILE.columns)
    wider = Embedding("file:mine", "1", "mine", (*FILE.columns, "mine_3"))
    assert len({own.version, version(HEARS), version(newer), version(FILE), version(wider)}) == 5
    assert version(updated) == version(FILE)
    for clash in ([HEARS, newer], [Embedding("file:mel", "1", "mel", ("a",))]):
        with pytest.raises(WrongUsageError, match="already: name another"):
            with_embeddings(feature_set(None), clash)


def test_names() -> None:
    for good in ((), ("musicnn",), ("musicnn:a.whl", "hf:org/name"), ("none",)):
        check_names(good)
    for bad in ("vggish", "hf:", "musicnn:", "", "file:mine", "hf"):
        with pytest.raises(WrongUsageError, match=r"no embedding called .*: choose musicnn"):
            check_names([bad])
    with pytest.raises(WrongUsageError, match="can't stand beside"):
        check_names(["none", "musicnn"])


def test_how_to_go_on() -> None:
    assert "--vectors FILE --family mine` again" in cut_off("file:mine")
    assert "again on the same folders" in cut_off("musicnn")
    assert "again on the same folders" in cut_off(None)
