"""Looking at one song: its tags, the facts of its file, its features by family."""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from kg.audio.cache import Row
from kg.audio.decode import Audio, decode
from kg.audio.features import feature_set
from kg.audio.requests import AnyRequest, Identify, Identity, ReadTags, Request
from kg.audio.scales import PITCHES, mel_hertz, octave_names
from kg.audio.spectrum import Matrix
from kg.audio.tags import Tags, clean
from kg.audio.workers import perform_in_workers
from kg.errors import AudioError, GraphError, KgError, WrongUsageError
from kg.excerpt import EXCERPT, Excerpt, as_seconds, of_seconds
from kg.files import expanded, normal
from kg.graph.lookup import FoundSong, SongGenre, find_song, read_song
from kg.graph.rows import Guess
from kg.graph.store import GraphStore
from kg.records import FeatureSet
from kg.schema import vector_property
from kg.text import printable

_SUMMED_UP: Final = re.compile(
    r"(?P<row>.+?)_(?P<statistic>(?:delta\d?_)?(?:mean|std)|change|modulation_.+)"
)
_NUMBERED: Final = re.compile(r"(?P<base>.+)_(?P<number>\d+)")
_VALUE: Final = "value"  # of what isn't summed up over time
_UNITS: Final = {
    **dict.fromkeys(("centroid", "bandwidth", "rolloff"), "Hz"),
    **dict.fromkeys(("mel", "contrast", "valley"), "dB"),
    "tempo": "BPM",
}


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that is known of one song.

    Attributes:
        id: Hash of its content, its key in the graph.
        path: The file; None for a song without one.
        copies: Other files of the same content that the library knows.
        title: From its tags, else the file's name.
        genres: The owner's, and where they were read.
        guesses: The model's; empty for a file, or without a model.
        doubt: Why the model calls it unknown; None: it doesn't.
        novelty: How unlike the songs learned from it is, 0 to 1; None: nobody measured it.
        split: The side it is on in training and measuring; None for a file, or without a genre.
        in_library: Whether this is what the graph says; else it was read from the file.
        duration: Seconds of the whole file; None where nobody says.
        sample_rate: Of the file, in Hz; None for a row of a table.
        excerpt: How much was to be listened to: seconds from the middle, or `full`; None where a
            table gives the features.
        heard: Seconds listened to; None where a table gives the features.
        tempo: Beats per minute; None where nobody listened for them.
        feature_version: Version of its features.
        features: Family to column to value; of the one family where one was asked for. NaN where a
            table lacks it.
        source: The data set or table that it is from; None for a file by itself.
        key: What that calls it.
        given: Whether a table gave its features.
    """

    id: str
    path: Path | None
    copies: Sequence[Path]
    title: str
    artist: str | None
    album: str | None
    year: int | None
    genres: Sequence[SongGenre]
    guesses: Sequence[Guess]
    doubt: str | None
    novelty: float | None
    split: str | None
    in_library: bool
    duration: float | None
    sample_rate: int | None
    excerpt: Excerpt | None
    heard: float | None
    tempo: float | None
    feature_version: str
    features: Mapping[str, Mapping[str, float]]
    source: str | None = None
    key: str | None = None
    given: bool = False


@dataclass(frozen=True, slots=True)
class Feature:
    """One row of a table.

    Attributes:
        name: As people call it: `C♯`, `centroid`, `200-400 Hz`.
        unit: `Hz`, `dB`, `BPM` or nothing.
        values: One a statistic of the table; None where it has no such statistic.
    """

    name: str
    unit: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Values of a family that belong together: a row a feature, a column a statistic."""

    name: str
    statistics: Sequence[str]
    rows: Sequence[Feature]


def as_file(song: str | Path) -> Path | None:
    """The file of that name, if there is one."""
    path = expanded(song)
    return normal(path) if os.path.isfile(path) else None  # noqa: PTH113 - never raises


def inspect_file(path: Path, family: str | None = None) -> Inspection:
    """Look at a file, of any library or of none; at all families, or at one.

    Raises:
        WrongUsageError: there is no such family.
        KgError: it can't be heard; the message says why.
    """
    kinds = feature_set(EXCERPT)
    wanted = _wanted(kinds, family)
    identity, tags, row = _read_file(path)
    found = by_family(kinds, row.features)
    return Inspection(
        id=identity.content,
        path=path,
        copies=(),
        title=tags.title or clean(path.stem),
        artist=tags.artist,
        album=tags.album,
        year=tags.year,
        genres=[SongGenre(genre, "tag") for genre in tags.genres],
        guesses=(),
        doubt=None,
        novelty=None,
        split=None,
        in_library=False,
        duration=row.duration,
        sample_rate=row.sample_rate,
        excerpt=of_seconds(EXCERPT),
        heard=min(row.duration, EXCERPT),
        tempo=_tempo(found),
        feature_version=kinds.version,
        features={name: found[name] for name in wanted},
    )


def inspect_song(store: GraphStore, text: str, family: str | None = None) -> Inspection:
    """Look at a song of the library, found by its title, path or id; at all families, or at one.

    Raises:
        WrongUsageError: there is no such family, or the song lacks it.
        KgError: there is none, or several.
    """
    song = read_song(store.connection, find_song(store.connection, text))
    kinds = store.feature_set()
    if kinds is None:
        raise GraphError("The graph doesn't say what its features mean: run `kg ingest` again.")
    wanted, said = _wanted(kinds, family), song.properties
    parts = [said.get("features") or b""]
    for each in kinds.embeddings:
        # One that nobody has of this song: it is left out below.
        lacking = np.full(len(each.columns), np.nan, "<f4").tobytes()
        parts.append(said.get(vector_property(each.family)) or lacking)
    found = by_family(kinds, np.frombuffer(b"".join(parts), dtype="<f4"))
    if family is not None and family not in found:
        raise WrongUsageError(
            f"Nobody has the features {family!r} of this song: its file was gone when the library "
            "got them, or no file of vectors and no row of a table brought them."
        )
    duration, given = said.get("duration"), bool(kinds.given)
    paths = _paths(song)
    # Of several copies the first that is still there.
    path = next(filter(as_file, paths), paths[0] if paths else None)
    return Inspection(
        id=song.id,
        path=path,
        copies=[copy for copy in paths if copy != path],
        title=said.get("title") or song.id,
        artist=said.get("artist"),
        album=said.get("album"),
        year=said.get("year"),
        genres=song.genres,
        guesses=song.guesses,
        doubt=said.get("doubt"),
        novelty=said.get("novelty"),
        split=said.get("split"),
        in_library=True,
        duration=duration,
        sample_rate=said.get("sampleRate"),
        excerpt=None if given else of_seconds(kinds.excerpt),
        heard=None if given or duration is None else min(duration, kinds.excerpt or duration),
        tempo=said.get("tempo") or (None if given else _tempo(found)),
        feature_version=kinds.version,
        features={name: found[name] for name in wanted if name in found},
        source=said.get("source"),
        key=said.get("sourceKey"),
        given=given,
    )


def hear(song: Inspection) -> Audio:
    """Listen once more to what its features were made from, for a picture of it.

    Raises:
        KgError: its file isn't there, or can't be heard.
    """
    if song.path is None or song.excerpt is None:
        raise KgError(f"{song.title!r} came into the library without a file: nothing to listen to.")
    try:
        return decode(song.path, as_seconds(song.excerpt))
    except AudioError as error:
        raise _cannot_hear(song.path, error) from error


def caption(song: Inspection) -> str:
    """What stands above a picture of it."""
    return f"{song.title} - {song.artist}" if song.artist else song.title


def _read_file(path: Path) -> tuple[Identity, Tags, Row]:
    # In a process of its own, as in an ingest: a decoder may crash or hang.
    requests: list[AnyRequest] = [Identify(path), Request("", path, EXCERPT), ReadTags(path)]
    with closing(perform_in_workers(requests, 1)) as outcomes:
        (_, identity), (_, row), (_, tags) = outcomes
    for outcome in (identity, row):
        if isinstance(outcome, AudioError):
            raise _cannot_hear(path, outcome)
    assert isinstance(identity, Identity)
    assert isinstance(row, Row)
    return identity, tags if isinstance(tags, Tags) else Tags(), row


def _cannot_hear(path: Path, error: AudioError) -> KgError:
    return KgError(f"{printable(path)} can't be listened to: {error.reason}.")


def _wanted(kinds: FeatureSet, family: str | None) -> Sequence[str]:
    """Name the families to look at, before anything is listened to or drawn."""
    if family is None:
        return list(kinds.families)
    if family not in kinds.families:
        raise WrongUsageError(
            f"There is no feature family {family!r}: choose one of {', '.join(kinds.families)}."
        )
    return [family]


def by_family(kinds: FeatureSet, vector: Matrix) -> dict[str, dict[str, float]]:
    """Name the values of a feature vector; a family that the song lacks is left out.

    Raises:
        GraphError: it has another length than they say.
    """
    if len(vector) != len(kinds.columns):
        raise GraphError(
            f"The song has {len(vector)} feature values, and the graph names {len(kinds.columns)}: "
            "ingest everything again into an empty database."
        )
    return {
        family: dict(zip(kinds.columns[part], vector[part].tolist(), strict=True))
        for family, part in kinds.families.items()
        if not np.isnan(vector[part]).all()
    }


def family_tables(
    family: str, values: Mapping[str, float], *, given: bool = False
) -> list[FeatureTable]:
    """Arrange a family's values: a row a feature, a column a statistic.

    Features that are numbered (bands, coefficients) have a table of their own. What a table gave
    has the names of its columns, and units that nobody knows.
    """
    if given:
        plain = [Feature(printable(name), "", [value]) for name, value in values.items()]
        return [FeatureTable(_spoken(family), [_VALUE], plain)]
    tables: dict[str, dict[str, dict[str, float]]] = {}
    for column, value in values.items():
        summed_up = _SUMMED_UP.fullmatch(column)
        row, statistic = summed_up.groups() if summed_up else (column, _VALUE)
        numbered = _NUMBERED.fullmatch(row)
        table, row = numbered.groups() if numbered else (family, row)
        if row == "tempo_log2":
            row, value = "tempo", 2.0**value
        tables.setdefault(table, {}).setdefault(row, {})[statistic] = value
    return [_table(name, rows) for name, rows in tables.items()]


def _table(base: str, rows: Mapping[str, Mapping[str, float]]) -> FeatureTable:
    statistics = list(dict.fromkeys(statistic for row in rows.values() for statistic in row))
    names = _names(base, list(rows))
    return FeatureTable(
        _spoken(base),
        [_spoken(statistic) for statistic in statistics],
        [
            Feature(name, _UNITS.get(row, _UNITS.get(base, "")), list(map(found.get, statistics)))
            for name, (row, found) in zip(names, rows.items(), strict=True)
        ],
    )


def _names(base: str, rows: Sequence[str]) -> Sequence[str]:
    named: dict[str, Sequence[str]] = {
        "chroma": PITCHES,
        "mel": [f"{hertz:.0f} Hz" for hertz in mel_hertz()],
        "contrast": octave_names(),
        "valley": octave_names(),
    }
    if len(named.get(base, ())) == len(rows):
        return named[base]
    return [row.lstrip("0") if row.isdecimal() else _spoken(row) for row in rows]


def _spoken(name: str) -> str:
    """A column's name for people: `modulation_0_5_hz` is `modulation 0.5 Hz`."""
    name = re.sub(r"(\d)_(?=\d)", r"\1.", name).replace("_", " ")
    return re.sub(r"(?<=\d) hz\b", " Hz", name)


def _tempo(found: Mapping[str, Mapping[str, float]]) -> float | None:
    for values in found.values():
        if "tempo_log2" in values:
            return float(2.0 ** values["tempo_log2"])
    return None


def _paths(song: FoundSong) -> list[Path]:
    said: list[Any] = [song.properties.get("path"), *(song.properties.get("paths") or ())]
    return [Path(path) for path in dict.fromkeys(said) if path]
