"""Columns of one family are found by their names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kg.schema import check_family_name
from kg.sources.families import MOST, family_name, group


def families(*names: str, **widths: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, family in group(names, widths).items():
        found.setdefault(family, []).append(name)
    return found


def test_gtzans_columns() -> None:
    names = [f"mfcc{n}_{what}" for n in range(1, 21) for what in ("mean", "var")]
    found = families("chroma_stft_mean", "chroma_stft_var", "rolloff_mean", "tempo", *names)
    assert {family: len(each) for family, each in found.items()} == {
        "chroma_stft": 2,
        "other": 2,
        "mfcc": 40,
    }


def test_columns_alone() -> None:
    assert set(families("acousticness", "danceability", "energy", "tempo")) == {"features"}
    assert families("spectral_centroid", "spectral_rolloff", "tempo", "mfcc1", "mfcc2") == {
        "spectral": ["spectral_centroid", "spectral_rolloff"],
        "mfcc": ["mfcc1", "mfcc2"],
        "other": ["tempo"],
    }
    assert families("spectral_1", "spectral_2", "spectral_flux") == {
        "spectral": ["spectral_1", "spectral_2", "spectral_flux"]
    }


@pytest.mark.parametrize(
    ("names", "family"),
    [
        (("MFCC_01", "MFCC_02"), "mfcc"),
        (("lowlevel.mfcc.mean.0", "lowlevel.mfcc.var.3"), "lowlevel_mfcc"),
        (("spectralCentroidMean", "spectralCentroidVar"), "spectral_centroid"),
        (("mean_chroma_1", "std_chroma_1"), "chroma"),
        (("rms", "rms_mean"), "rms"),
        (("Ähnlich 1", "Ähnlich 2"), "ahnlich"),
        (("0", "1", "2"), "features"),
        (("音色1", "音色2"), "features"),
        (("tag1", "tag2"), "tags"),  # HAS_TAG is another relation
    ],
)
def test_names(names: tuple[str, ...], family: str) -> None:
    assert set(group(names, {}).values()) == {family}


def test_a_list_is_a_family() -> None:
    assert families("chroma", "tempo", chroma=12) == {"chroma": ["chroma"], "other": ["tempo"]}


def test_not_too_many() -> None:
    names = [
        f"{chr(97 + a)}{chr(97 + b)}_{what}"
        for a in range(8)
        for b in range(8)
        for what in ("mean", "var")
    ]
    assert len(set(group([*names, *(f"mfcc{n}" for n in range(9))], {}).values())) <= MOST


@given(st.lists(st.text(max_size=12), unique=True, max_size=30))
def test_any_names(names: list[str]) -> None:
    found = group(names, {})
    assert sorted(found) == sorted(names)
    for family in found.values():
        assert check_family_name(family) == family


@given(st.text())
def test_any_family_name(text: str) -> None:
    check_family_name(family_name(text))
