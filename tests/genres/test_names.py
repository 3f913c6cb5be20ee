"""Spellings of one genre are told to be one, and different genres aren't."""

import csv
from pathlib import Path

import pytest

from kg.genres.names import by_key, genre_key, same_genre


@pytest.mark.parametrize(
    "spellings",
    [
        ("Hip-Hop", "hip hop", "HipHop", "hip_hop", "  Hip   Hop "),
        (
            "Drum & Bass",
            "drum and bass",
            "Drum'n'Bass",
            "drum n bass",
            "Drum-and-Bass",
            "Drum+Bass",
        ),
        ("Rock & Roll", "Rock'n'Roll", "rock \u2019n\u2019 roll"),
        ("R&B", "R & B", "r and b", "R 'n' B"),
        ("Chanson Fran\u00e7aise", "chanson francaise", "Chanson Franc\u0327aise"),
        ("Lo-Fi", "lofi", "LO FI"),
        ("Stra\u00dfenmusik", "STRASSENMUSIK"),
    ],
)
def test_spellings_of_one_genre(spellings: tuple[str, ...]) -> None:
    assert len({genre_key(name) for name in spellings}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Rock", "Punk Rock"),
        ("Drum & Bass", "Drum Bass"),
        ("N", "And"),
        ("\u30d0\u30f3\u30c9", "\u30cf\u30f3\u30c8"),  # marks of other scripts make other letters
        ("\u0938\u093e", "\u0938\u093f"),
        ("!!!", "???"),
        ("&", "!!!"),
    ],
)
def test_other_genres(one: str, other: str) -> None:
    assert not same_genre(one, other)


def test_a_name_without_letters_is_its_own() -> None:
    assert genre_key("!!!") == "!!!"
    assert genre_key("&") == "&"


def test_of_several_spellings_the_first_speaks() -> None:
    assert by_key(["hip hop", "Hip-Hop", "jazz"]) == {"hiphop": "Hip-Hop", "jazz": "jazz"}


def test_the_names_of_data_sets_stay_apart(data_dir: Path) -> None:
    for file, column in (("fma/genres.csv", "title"), ("audioset/genre_tree.csv", "name")):
        with (data_dir / file).open(encoding="utf-8", newline="") as lines:
            names = {row[column] for row in csv.DictReader(lines)}
        assert len({genre_key(name) for name in names}) == len(names) > 50
