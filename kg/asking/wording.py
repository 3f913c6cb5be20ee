"""Evidence for a genre, in words that need no knowledge of features or of graphs."""

from collections.abc import Mapping, Sequence
from typing import Final

from kg.embeddings.choice import is_file
from kg.graph.surroundings import GenresAround, Known
from kg.records import FeatureSet

_FAMILIES: Final = {
    "mfcc": "timbre",
    "mel": "tone colour",
    "contrast": "tone colour",
    "spectral": "tone colour",
    "chroma": "harmony",
    "tonnetz": "harmony",
    "rhythm": "rhythm",
}
_FURTHER: Final = {"artist": "by ", "album": "on the album ", "playlist": "in the playlist "}
_ORDINALS: Final = ("first", "second", "third")
# Of fewer songs a percentage says more than is known.
_FEW: Final = 20


def networks_of(kinds: FeatureSet) -> dict[str, str]:
    """Names of the pretrained networks that a library has, by the families they hear."""
    heard = (each for each in kinds.embeddings if not is_file(each))
    return {each.family: each.name.removeprefix("hf:") for each in heard}


def sound_in_words(family: str, networks: Mapping[str, str]) -> str:
    """What a feature family is to people: `mfcc` is timbre.

    Args:
        family: Its name.
        networks: Names of pretrained networks by their families.
    """
    if family in networks:
        return f"how {networks[family]} hears it"
    return _FAMILIES.get(family, family)


def song_in_words(song: Known) -> str:
    """A similar song as evidence: `sounds like "So What" by Miles Davis (jazz)`."""
    genres = ", ".join(song.genres) or "no genre"
    said = "probably " if song.told and song.genres else ""
    return f"sounds like {title(song.name, song.artist)} ({said}{genres})"


def title(name: str, artist: str | None) -> str:
    """A song by its name and artist."""
    return f'"{name}" by {artist}' if artist else f'"{name}"'


def cluster_in_words(
    family: str, cluster: str, networks: Mapping[str, str], around: GenresAround, genre: str
) -> str:
    """A cluster as evidence: `belongs to a group of songs of alike timbre (mfcc:07): 62 % are ...`.

    Args:
        family: The feature family that it is of.
        cluster: Its id.
        networks: Names of pretrained networks by their families.
        around: Songs in it.
        genre: The genre.
    """
    if family in networks:
        alike = f"that {networks[family]} hears alike"
    elif family in _FAMILIES:
        alike = f"of alike {_FAMILIES[family]}"
    else:
        alike = f"alike in {family}"
    return f"belongs to a group of songs {alike} ({cluster}): {_share(around, genre)}"


def tag_in_words(tag: str, network: str, around: GenresAround, genre: str) -> str:
    """A tag as evidence: `musicnn hears "sax" in it; of the other songs with it 62 % are jazz`."""
    return f'{network} hears "{tag}" in it; of the other songs with it {_share(around, genre)}'


def further_in_words(node: str, name: str, around: GenresAround, genre: str) -> str:
    """An artist, album or playlist as evidence: `by Miles Davis, 12 of whose 14
    other songs are jazz`.

    Args:
        node: Which of these it is, in `HeteroData`.
        name: What it is called.
        around: Its other songs.
        genre: The genre.
    """
    said = _FURTHER.get(node, f"in the {node} ")
    return f"{said}{name}, {_others(around, genre)}"


def shared_in_words(
    genres: Sequence[str],
    families: Sequence[str],
    tags: Sequence[str],
    networks: Mapping[str, str],
    *,
    same_artist: bool,
) -> str:
    """What two songs share: `jazz; alike in timbre and rhythm; heard in both: sax, slow`.

    Args:
        genres: That both have.
        families: In whose clusters they are together.
        tags: That a network hears in both.
        networks: Names of pretrained networks by their families.
        same_artist: Whether both are by one artist.
    """
    alike = [
        f"how {networks[family]} hears them" if family in networks else sound_in_words(family, {})
        for family in families
    ]
    parts = [
        ", ".join(genres),
        "the artist" if same_artist else "",
        f"alike in {listed([*dict.fromkeys(alike)])}" if alike else "",
        f"heard in both: {', '.join(tags)}" if tags else "",
    ]
    return "; ".join(part for part in parts if part)


def standing(genre: str, rank: int, first: str, *, now: int) -> str:
    """Where a genre would stand: `jazz would be second, after blues`.

    Args:
        genre: Its name.
        rank: Where it would stand.
        first: Who would be first.
        now: Where it stands.
    """
    place = _ORDINALS[rank - 1] if rank <= len(_ORDINALS) else f"number {rank}"
    still = "still " if rank == now else ""
    return f"{genre} would {still}be {place}{'' if rank == 1 else f', after {first}'}"


def listed(words: Sequence[str]) -> str:
    """`timbre, rhythm and harmony`."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _others(around: GenresAround, genre: str) -> str:
    """`12 of whose 14 other songs are jazz`."""
    count = around.of_genre[genre]
    if not around.songs:
        return "of whose other songs none has a genre"
    if around.songs == 1:
        return f"whose only other song with a genre is {'' if count else 'not '}{genre}"
    if count == 0:
        return f"none of whose {around.songs} other songs is {genre}"
    return f"{count} of whose {around.songs} other songs {'is' if count == 1 else 'are'} {genre}"


def _share(around: GenresAround, genre: str) -> str:
    count = around.of_genre[genre]
    if not around.songs:
        return "no other has a genre"
    if count == 0:
        return f"none of {around.songs} is {genre}"
    if around.songs < _FEW:
        return f"{count} of {around.songs} {'is' if count == 1 else 'are'} {genre}"
    return f"{max(1, round(100 * count / around.songs))} % are {genre}"
