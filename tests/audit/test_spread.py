"""Artists whose songs are spread over genres."""

from math import exp, log

import pytest

from kg.audit.spread import spread_artists
from kg.genres.tree import Tree

NO_TREE = Tree({})


def test_who_is_spread_and_who_is_out_of_place() -> None:
    artists = [*["Miles"] * 6, *["Queen feat. Bowie"] * 2, *["Queen"] * 2, *["Two"] * 2, None, None]
    genres = [*[("jazz",)] * 5, ("metal",), *[("rock",), ("pop",)] * 2, ("a",), ("b",), ("a",), ()]
    ids = [f"{row:02}" for row in range(len(artists))]
    queen, miles = spread_artists(ids, artists, genres, NO_TREE)
    assert (queen.artist, queen.key, queen.songs) == ("Queen", "queen", 4)
    assert queen.spread == pytest.approx(2)
    assert queen.odd == []
    assert dict(miles.genres) == {"jazz": 5, "metal": 1}
    assert miles.odd == ["05"]
    assert miles.spread == pytest.approx(exp(-5 / 6 * log(5 / 6) - 1 / 6 * log(1 / 6)))
    assert miles.words == "6 songs: 5 jazz, 1 metal; 1 out of place"


def test_a_genre_in_common_and_subgenres_of_one_genre_are_no_spread() -> None:
    tree = Tree({"techno": ["electronic"], "house": ["electronic"]})
    artists = [*["DJ"] * 3, *["Pop"] * 3, *["Band"] * 3]
    genres = [
        *[("techno",), ("house",), ("electronic",)],
        *[("pop", "rock"), ("pop",), ("jazz", "pop")],
        *[("techno",), ("rock",), ()],
    ]
    ids = [str(row) for row in range(9)]
    assert spread_artists(ids, artists, genres, tree) == []
    (dj,) = spread_artists(ids, artists, genres, NO_TREE)
    assert dj.key == "dj"
