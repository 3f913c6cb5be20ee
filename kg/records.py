"""Plain records that several stages share: songs, what was heard in them, and what was not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kg.excerpt import EXCERPT


@dataclass(frozen=True, slots=True)
class SongRecord:
    """A song as its source describes it; `None` and empty tuples mean that it doesn't say.

    Attributes:
        id: BLAKE2b-128 of the file's bytes, or of source name and row key for a table row; hex.
        path: Absolute path of the audio file.
        paths: Of all copies, the same bytes under several names; `path` is the first of them.
        modified: When the file at `path` was last changed, in ns, as it was identified.
        artist: Of the song; `album_artist` may be "Various Artists".
        genres: The owner's genres; `genre_source` says where they were read from.
        genre_source: `folder`, `tag`, `table` or `user`; empty where there are no genres.
        split: `train`, `valid` or `test` where the data itself says so.
        source: The data set or table that it is a row of; empty for a file.
        key: What that calls it: a track id, a file name.
    """

    id: str
    path: Path | None = None
    paths: tuple[Path, ...] = ()
    modified: int | None = None
    title: str | None = None
    artist: str | None = None
    album_artist: str | None = None
    album: str | None = None
    year: int | None = None
    genres: tuple[str, ...] = ()
    genre_source: str = ""
    split: str | None = None
    source: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that did not become a song, and why, in plain words."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class NewSong:
    """A song on its way into the graph: what its source says and what was heard in it.

    Attributes:
        record: From the source.
        features: Raw features, float32 [d].
        duration: Seconds of the whole song; None where nobody says.
        sample_rate: Of the file, in Hz; None for a row of a table.
        tempo: Beats per minute; None where nobody listened for them.
        vectors: Of its embeddings, by family, float32 [width]; a family that the song lacks is
            left out.
        tags: What a network calls it, (tag, weight), the strongest first.
        sound: What may be wrong with its sound, and its print: float32, a row of `kg.audio.sound`;
            None where nobody looked.
    """

    record: SongRecord
    features: NDArray[np.float32]
    duration: float | None
    sample_rate: int | None
    tempo: float | None = None
    vectors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    tags: Sequence[tuple[str, float]] = ()
    sound: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Embedding:
    """A feature family that our own features don't give: a pretrained network's, or from a file.

    Attributes:
        name: What a user calls it: `musicnn`, `hf:NAME`, `file:FAMILY`.
        identity: Hash of what decides its values: a network's weights, the files that were read.
        family: The feature family that its vectors are.
        columns: Name of each of their columns.
    """

    name: str
    identity: str
    family: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """What the columns of raw features mean.

    Attributes:
        version: Hash of all that decides their values; versions never mix.
        families: Columns of each family, `{"mfcc": slice(0, 60), ...}`, in column order.
        columns: Name of each column, d of them.
        excerpt: Seconds listened to, from the middle of each song; None: all of it, or nothing.
        embeddings: Whose families come last, in their order. A song may lack one: its columns are
            NaN then.
        given: Empty where our own features are heard. Where a table gives them, a token that is
            another one whenever their values are; any of them may be NaN, that is missing.
    """

    version: str
    families: Mapping[str, slice]
    columns: tuple[str, ...]
    excerpt: float | None = EXCERPT
    embeddings: tuple[Embedding, ...] = ()
    given: str = ""
