"""The one vocabulary: labels, relationship types and what they are called in `HeteroData`.

The export and the encoder's relation names are built from these names; Cypher texts are written
out, to be read and copied, and a test holds them to this vocabulary.
"""

import re
from dataclasses import dataclass
from typing import Final

from kg.errors import WrongUsageError

# Labels and their key properties in the database.
KEYS: Final = {
    "Song": "id",
    "FeatureCluster": "id",
    "Genre": "name",
    "Tag": "name",  # what a network hears: "guitar", "mellow", "80s"
    "Artist": "id",
    "Album": "id",
    "Playlist": "id",
    "FeatureSpace": "version",
    "Model": "id",
    "TestSplit": "id",
    "Experiment": "id",  # a row of a comparison
    "Audit": "id",  # one node: when the last audit ran, and on what
    "KgSchema": "id",  # one node: the form of the graph (see kg.graph.versions)
}

# A node that is there while a command writes, and no part of the music (see kg.graph.turns).
TURN: Final = "Turn"

# Relationship types in the database.
RELATIONSHIPS: Final = (
    "HAS_FEATURE",
    "SIMILAR_TO",
    "IN_GENRE",
    "PREDICTED_GENRE",
    "SUBGENRE_OF",
    "HAS_TAG",
    "SUGGESTED_GENRE",
    "PROPOSED_GENRE",  # by an audit or by hand, with what the owner decided
    "SAME_RECORDING",  # what an audit found
    "BY",
    "ON",
    "CONTAINS",
)

# Node types in HeteroData.
SONG_NODE: Final = "song"
CLUSTER_NODE: Final = "feature_cluster"
GENRE_NODE: Final = "genre"
TAG_NODE: Final = "tag"
ARTIST_NODE: Final = "artist"
ALBUM_NODE: Final = "album"
PLAYLIST_NODE: Final = "playlist"

EdgeType = tuple[str, str, str]
SIMILAR_EDGE: Final[EdgeType] = (SONG_NODE, "similar_to", SONG_NODE)
GENRE_EDGE: Final[EdgeType] = (SONG_NODE, "in_genre", GENRE_NODE)
TAG_EDGE: Final[EdgeType] = (SONG_NODE, "has_tag", TAG_NODE)
ARTIST_EDGE: Final[EdgeType] = (SONG_NODE, "by", ARTIST_NODE)
ALBUM_EDGE: Final[EdgeType] = (SONG_NODE, "on", ALBUM_NODE)
PLAYLIST_EDGE: Final[EdgeType] = (PLAYLIST_NODE, "contains", SONG_NODE)


@dataclass(frozen=True, slots=True)
class Further:
    """A node type that songs hang on beside clusters and genres, by one relationship.

    Attributes:
        node: Its name in `HeteroData`.
        label: Its label in the database.
        type: Of the relationship between songs and it.
        edge: What that is in `HeteroData`; it may point to songs or away from them.
        gathered: Whether such a node is the mean of its songs, so that one may come and go; else
            a vector is learned for each, and a model knows those it was trained with.
    """

    node: str
    label: str
    type: str
    edge: EdgeType
    gathered: bool = True

    @property
    def to_song(self) -> EdgeType:
        """The edge type by which songs hear from it."""
        return self.edge if self.edge[2] == SONG_NODE else reverse_edge(self.edge)

    def pattern(self, song: str, node: str) -> str:
        """Both and the relationship between them in Cypher, by names of variables."""
        points_here = self.edge[2] == SONG_NODE
        left, right = ("<-", "-") if points_here else ("-", "->")
        return f"({song}){left}[:{self.type}]{right}({node}:{self.label})"


FURTHER: Final = {
    each.node: each
    for each in (
        Further(TAG_NODE, "Tag", "HAS_TAG", TAG_EDGE, gathered=False),
        Further(ARTIST_NODE, "Artist", "BY", ARTIST_EDGE),
        Further(ALBUM_NODE, "Album", "ON", ALBUM_EDGE),
        Further(PLAYLIST_NODE, "Playlist", "CONTAINS", PLAYLIST_EDGE),
    )
}
"""By node type, in the order in which they are shown."""

SPLITS: Final = ("train", "valid", "test")

_FAMILY_NAME = re.compile(r"[a-z][a-z0-9_]*")


def check_family_name(family: str) -> str:
    """Return `family` if it can name a relation.

    Raises:
        WrongUsageError: it isn't lower-case letters, digits and underscores.
    """
    if not _FAMILY_NAME.fullmatch(family):
        raise WrongUsageError(
            f"A feature family can't be called {family!r}: use lower-case letters, digits "
            "and underscores, beginning with a letter."
        )
    return family


def feature_edge(family: str) -> EdgeType:
    """Name the edge type from songs to the clusters of one family: a relation of its own each."""
    return (SONG_NODE, f"has_{check_family_name(family)}", CLUSTER_NODE)


def reverse_edge(edge: EdgeType) -> EdgeType:
    """Name the twin of an edge type that carries messages the other way."""
    head, relation, tail = edge
    return (tail, f"rev_{relation}", head)


def vector_property(family: str) -> str:
    """Name the property of songs that holds their vector of an embedding: `vector_musicnn`."""
    return f"vector_{check_family_name(family)}"


def cluster_id(family: str, index: int) -> str:
    """Key of a `FeatureCluster`: `mfcc:07`."""
    return f"{family}:{index:02d}"
