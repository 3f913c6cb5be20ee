"""The graph as a model last saw it: the layer outputs that its checkpoint keeps, by song."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kg.errors import NotReadyError
from kg.graph.rows import ModelRow
from kg.graph.store import GraphStore
from kg.graph.surroundings import Surroundings, read_surroundings
from kg.learning.doubt import judge_of
from kg.learning.saved_models import (
    echoes_of,
    further_names,
    latest_model,
    level_of,
    load_checkpoint,
    none_in_use,
    song_names,
)
from kg.records import FeatureSet
from kg.schema import (
    CLUSTER_NODE,
    FURTHER,
    SIMILAR_EDGE,
    SONG_NODE,
    EdgeType,
    feature_edge,
    reverse_edge,
)

if TYPE_CHECKING:
    from torch import Tensor

    from models.link_model import LinkModel


def seen_by_model(
    store: GraphStore, models_dir: Path, id: str
) -> "tuple[KeptGraph, Surroundings, Tensor, FeatureSet]":
    """A song as the model in use sees it.

    Returns:
        What the model keeps, what the song hangs on, what the model is given of its features [d],
        and what these mean.

    Raises:
        NotReadyError: there is no model, or it can't be used on the graph as it is.
    """
    import torch

    model = latest_model(store)
    if model is None:
        raise NotReadyError(none_in_use(store) or "There is no model yet: run `kg train` first.")
    space, build = store.read_space()
    kept = KeptGraph(model, models_dir, build)
    song = read_surroundings(store.connection, id, space.kinds)
    x = torch.from_numpy(space.inputs(space.standardise(song.features[None]))[0])
    return kept, song, x, space.kinds


class KeptGraph:
    """A model and what it keeps of the graph.

    Attributes:
        model: Its node.
        net: The model.
        layers: Outputs of every layer, {node type: [n, hidden]}.
        songs: `Song.id` by row.
        clusters: `FeatureCluster.id` by row.
        further: Keys by row of what else songs hang on, by node type.
        genres: Names by row.
        level: Of the genre tree, that they are of.
        judge: How far the model is to be believed.
    """

    def __init__(self, model: ModelRow, models_dir: Path, build: str | None) -> None:
        """Read a checkpoint.

        Args:
            model: Whose.
            models_dir: Folder of the checkpoints.
            build: Of the graph as it is.

        Raises:
            NotReadyError: it isn't here, is damaged, or is of another build of the graph.
        """
        loaded, _ = load_checkpoint(model, models_dir)
        if loaded.extra["build"] != build:
            raise NotReadyError(
                f"The graph was rebuilt after model {model.id} last saw it: run `kg train`, or "
                "`kg predict` if the genres are the same."
            )
        self.model = model
        self.net: LinkModel = loaded.model
        self.layers = loaded.layers
        self.songs = song_names(loaded)
        self.clusters: Sequence[str] = loaded.extra["clusters"]
        self.further = further_names(loaded)
        self._only = echoes_of(loaded)
        self.genres: Sequence[str] = loaded.extra["genres"]
        self.level = level_of(loaded.extra)
        self.judge = judge_of(loaded)
        sizes = {kind: len(rows) for kind, rows in self.layers[-1].items()}
        expected = {SONG_NODE: self.songs, CLUSTER_NODE: self.clusters, **self.further}
        if any(sizes.get(kind, 0) != len(rows) for kind, rows in expected.items()):
            raise NotReadyError(
                f"The checkpoint of model {model.id} doesn't hold together: run `kg train`."
            )

    def row_of(self, song: str) -> int | None:
        """The row of a song; None: it came later."""
        return next(iter(self._rows_of([song])), None)

    def _rows_of(self, songs: Sequence[str]) -> list[int]:
        """The rows of those songs that didn't come later."""
        return [row for row in self.songs.find(songs).tolist() if row >= 0]

    def _is_echo(self, node: str, row: int, song: int) -> bool:
        """Whether an artist, album or playlist knows of this song alone."""
        only = self._only.get(node)
        return only is not None and int(only[row]) == song

    def neighbours(self, song: Surroundings) -> "dict[EdgeType, Tensor]":
        """Who sends messages to a song: rows of its neighbours, int64 [e], by edge type.

        Its own genres aren't among them, nor is what knows of no other song: it says nothing. Songs
        that came after the last full pass over the graph have no kept output to send.
        """
        import torch

        own = self.row_of(song.id)
        rows: dict[EdgeType, list[int]] = {
            reverse_edge(SIMILAR_EDGE): self._rows_of(song.like),
            SIMILAR_EDGE: self._rows_of(song.likened),
            **{
                FURTHER[node].to_song: [
                    int(row)
                    for row in names.find(song.further[node])
                    if row >= 0 and (own is None or not self._is_echo(node, int(row), own))
                ]
                for node, names in self.further.items()
            },
        }
        for family, cluster in song.clusters:
            edge_type = reverse_edge(feature_edge(family))
            rows.setdefault(edge_type, []).append(self.clusters.index(cluster))
        silent = self.net.shape.silent
        return {
            edge_type: torch.tensor(found)
            for edge_type, found in rows.items()
            if found and edge_type not in silent
        }

    def embedding(self, song: Surroundings, x: "Tensor") -> "Tensor":
        """Output of the last layer for a song [hidden]; of one that came later by its neighbours.

        Args:
            song: What it hangs on.
            x: What the model is given of its features, [d].
        """
        import torch

        row = self.row_of(song.id)
        if row is not None:
            return self.layers[-1][SONG_NODE][row]
        heard = {
            edge_type: torch.stack([senders, torch.zeros_like(senders)])
            for edge_type, senders in self.neighbours(song).items()
        }
        with torch.no_grad():
            return self.net.encoder.embed_new(SONG_NODE, x[None], heard, self.layers)[0]

    def nearest(self, embedding: "Tensor", k: int) -> list[tuple[str, float]]:
        """The k songs whose kept embeddings have the highest cosine with this one: (id, cosine)."""
        from torch.nn.functional import cosine_similarity

        cosine = cosine_similarity(self.layers[-1][SONG_NODE], embedding[None])
        # Stable, so that equals come in one order on every run.
        first = cosine.argsort(descending=True, stable=True)[:k].tolist()
        return [(self.songs[row], float(cosine[row])) for row in first]
