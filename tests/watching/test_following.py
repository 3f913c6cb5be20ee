"""Where songs lie now, from where they lay and what was seen."""

from kg.watching.following import Placed, changes

SONG = Placed("x", "X", ["/m/a", "/m/b"])


def never(path: str, moved: bool) -> bool:
    return False


def test_nothing_happened() -> None:
    assert changes([SONG], {"/m/a": "x", "/m/c": "y"}, never) == []


def test_a_song_gains_and_loses_paths() -> None:
    (moved,) = changes([SONG], {"/m/c": "x"}, lambda path, moved: moved and path == "/m/a")
    assert (moved.gained, moved.lost, moved.left) == (["/m/c"], ["/m/a"], ["/m/b", "/m/c"])
    (copied,) = changes([SONG], {"/m/c": "x"}, never)
    assert (copied.lost, copied.left) == ([], ["/m/a", "/m/b", "/m/c"])
    (fewer,) = changes([SONG], {}, lambda path, moved: not moved and path == "/m/a")
    assert (fewer.gained, fewer.left) == ([], ["/m/b"])


def test_a_song_without_files_has_nowhere_to_stay() -> None:
    # One is gone, the other has other content, or none that can be read.
    for other in ("y", None):
        (change,) = changes([SONG], {"/m/a": other}, lambda path, moved: path == "/m/b")
        assert change.left == []
    assert changes([Placed("t", "T", [])], {}, never) == []
