"""Which titles of playlists name a genre."""

import pytest

from kg.genres.names import by_key
from kg.genres.titles import called_after

GENRES = by_key(["Hip-Hop", "jazz", "drum & bass", "R&B", "Singer/Songwriter", "Pop_Rock"])


@pytest.mark.parametrize(
    ("title", "genre"),
    [
        ("jazz", "jazz"),
        ("Best of JAZZ!", "jazz"),
        ("hip hop 2019", "Hip-Hop"),
        ("my hiphop", "Hip-Hop"),
        ("Drum and Bass", "drum & bass"),
        ("dark drum'n'bass, loud", "drum & bass"),
        ("R & B", "R&B"),
        ("r&b/soul", "R&B"),
        ("Singer-Songwriter", "Singer/Songwriter"),
        ("pop rock", "Pop_Rock"),
        ("Jazzercise", None),
        ("Evening", None),
        ("bass and drum", None),
        ("", None),
        ("!!!", None),
    ],
)
def test_a_title_that_names_a_genre(title: str, genre: str | None) -> None:
    assert called_after(title, GENRES) == genre
