"""Columns that are the genre in other words."""

import numpy as np

from kg.sources.leaks import GenreTellers

N = 300
GENRES = [("rock",), ("jazz",), ("pop", "rock")] * (N // 3)
CODES = np.arange(N) % 3


def found(values: "np.ndarray", genres: "list[tuple[str, ...]] | None" = None) -> str | None:
    told = genres or GENRES
    tellers = GenreTellers({"x": np.unique(values[np.isfinite(values)]).tolist()})
    for begin in range(0, len(values), 70):
        tellers.add({"x": values[begin : begin + 70]}, told[begin : begin + 70])
    return tellers.found().get("x")


def test_codes_of_genres() -> None:
    assert found(CODES * 7.5) == "says the genre of each song in other words"
    assert found(np.where(np.arange(N) < 50, np.nan, CODES)) is not None
    several = CODES + 3.0 * (np.arange(N) // 3 % 4)  # artists, each of one genre
    assert found(several) is not None
    one_wrong = CODES.astype(float)
    one_wrong[5] = 0
    assert found(one_wrong) is not None


def test_one_genre() -> None:
    alone = [("rock",), ("jazz",), ("pop",)] * (N // 3)
    assert found((CODES == 1).astype(float), alone) == "says of each song whether it is jazz"
    assert found((CODES != 1).astype(float)) is not None


def test_what_tells_sound() -> None:
    drawn = np.random.default_rng(0)
    assert found(drawn.integers(0, 12, N).astype(float)) is None
    assert found(np.arange(N).astype(float)) is None  # each value once says nothing
    assert found(np.where(drawn.random(N) < 0.8, CODES, drawn.integers(0, 3, N)).astype(float)) is (
        None
    )
    assert found(np.ones(N)) is None
    assert found(drawn.integers(0, 2, N).astype(float), [("rock",)] * N) is None
    assert found(CODES * 1.0, [()] * N) is None
    rare = [("rock",)] * (N - 3) + [("jazz",)] * 3
    assert found((np.arange(N) >= N - 3).astype(float), rare) is None
