"""Whether songs can be added to a graph: its features are those that this kg makes."""

from typing import TYPE_CHECKING, Literal

from kg.embeddings.choice import FILE, as_now, cut_off
from kg.errors import KgError, NotReadyError, WrongUsageError
from kg.excerpt import Excerpt, in_words, of_seconds
from kg.given import refuse_audio

if TYPE_CHECKING:
    from kg.embeddings.ears import Ears
    from kg.graph.store import GraphStore
    from kg.records import FeatureSet

# What a run gives songs that another one may have begun and not ended.
Finishing = Literal["networks", "files"]


def same_features(
    store: "GraphStore",
    wanted: Excerpt | None = None,
    *,
    at_least: "Ears | None" = None,
    finishing: Finishing | None = None,
) -> "FeatureSet | None":
    """The features of the graph, if this kg makes the same; None in an empty one.

    Args:
        store: The graph.
        wanted: How much of each song to listen to; default: as much as the library does.
        at_least: What songs were heard with meanwhile: no embedding may have come since.
        finishing: What the caller goes on with, where a run was cut off that gave songs an
            embedding's vectors.

    Raises:
        NotReadyError: such a run was cut off.
        WrongUsageError: the library listens to more, or less.
        KgError: its features are of another version, or another command gave it an embedding.
    """
    there = store.feature_set()
    if there is None:
        return None
    if wanted is not None or at_least is not None:
        refuse_audio(there)
    excerpt = of_seconds(there.excerpt)
    if wanted is not None and wanted != excerpt:
        raise WrongUsageError(
            f"This library listens to {in_words(excerpt)}, which can't be mixed with --excerpt "
            f"{wanted if isinstance(wanted, str) else f'{wanted:g}'}: leave that out, or "
            "ingest everything into a new home (--home DIR) or an empty Neo4j database."
        )
    ours = as_now(there).version
    if there.version != ours:
        raise KgError(
            f"The graph holds features of version {there.version}, this kg makes version "
            f"{ours}, and they can't be mixed: use the kg that made them, or ingest "
            "everything into a new home (--home DIR) or an empty Neo4j database."
        )
    pending = store.extending()
    if pending and (finishing is None or pending.startswith(FILE) != (finishing == "files")):
        raise NotReadyError(cut_off(pending))
    if at_least is not None and not {e.family for e in there.embeddings} <= {
        e.family for e in at_least.kinds.embeddings
    }:
        raise KgError(
            "Another kg command gave this library an embedding meanwhile: run this one again."
        )
    return there
