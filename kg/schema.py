"""The one vocabulary: labels, relationship types and what they are called in `HeteroData`.

Cypher texts, the export and the encoder's relation names are all built from these names.
"""

import re
from typing import Final

from kg.errors import WrongUsageError

# Labels and their key properties in the database.
SONG: Final = "Song"
FEATURE_CLUSTER: Final = "FeatureCluster"
GENRE: Final = "Genre"
FEATURE_SPACE: Final = "FeatureSpace"
MODEL: Final = "Model"
KEYS: Final = {
    SONG: "id",
    FEATURE_CLUSTER: "id",
    GENRE: "name",
    FEATURE_SPACE: "version",
    MODEL: "id",
}

# Relationship types in the database.
HAS_FEATURE: Final = "HAS_FEATURE"
SIMILAR_TO: Final = "SIMILAR_TO"
IN_GENRE: Final = "IN_GENRE"
PREDICTED_GENRE: Final = "PREDICTED_GENRE"
SUBGENRE_OF: Final = "SUBGENRE_OF"

# Node types in HeteroData.
SONG_NODE: Final = "song"
CLUSTER_NODE: Final = "feature_cluster"
GENRE_NODE: Final = "genre"

EdgeType = tuple[str, str, str]
SIMILAR_EDGE: Final[EdgeType] = (SONG_NODE, "similar_to", SONG_NODE)
GENRE_EDGE: Final[EdgeType] = (SONG_NODE, "in_genre", GENRE_NODE)

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


def cluster_id(family: str, index: int) -> str:
    """Key of a `FeatureCluster`: `mfcc:07`."""
    return f"{family}:{index:02d}"
