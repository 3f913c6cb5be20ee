"""Genres of songs that came after the training, guessed from their neighbours alone."""

from collections.abc import Sequence
from pathlib import Path

from kg.doubt import Answer, judge_of
from kg.errors import NotReadyError
from kg.graph.rows import Floats, ModelRow
from kg.saved_models import load_checkpoint, song_names
from kg.schema import (
    CLUSTER_NODE,
    SIMILAR_EDGE,
    SONG_NODE,
    TAG_EDGE,
    TAG_NODE,
    feature_edge,
    reverse_edge,
)


class NewSongs:
    """Guesses the genres of songs that came after the training, from their neighbours alone.

    The kept layer outputs of the checkpoint stand for the library, so the cost depends on how
    many neighbours a song has and not on how many songs there are.
    """

    def __init__(self, model: ModelRow, models_dir: Path, build: str | None) -> None:
        self.model = model
        self._loaded, _ = load_checkpoint(model, models_dir)
        extra = self._loaded.extra
        if extra["build"] != build:
            raise NotReadyError(
                f"The graph was rebuilt after model {model.id} last saw it, so new songs get no "
                "genres: run `kg train`, or `kg predict` if the genres are the same."
            )
        sizes = {kind: len(rows) for kind, rows in self._loaded.layers[0].items()}
        tags = extra.get("tags", [])  # checkpoints from before there were tags have none
        self._songs = song_names(self._loaded)
        expected = {SONG_NODE: self._songs, CLUSTER_NODE: extra["clusters"], TAG_NODE: tags}
        if any(sizes.get(kind, 0) != len(rows) for kind, rows in expected.items()):
            raise NotReadyError(
                f"The checkpoint of model {model.id} doesn't hold together: run `kg train`."
            )
        self._judge = judge_of(self._loaded)
        self._genres: Sequence[str] = extra["genres"]
        self._cluster_row = {id: row for row, id in enumerate(extra["clusters"])}
        self._tag_row = {name: row for row, name in enumerate(tags)}

    def guess(
        self,
        standard: Floats,
        clusters: Sequence[Sequence[tuple[str, str, float]]],
        similar: Sequence[Sequence[tuple[str, float]]],
        tags: Sequence[Sequence[tuple[str, float]]] | None = None,
    ) -> list[Answer]:
        """The first genres of m new songs, and what they come to.

        Args:
            standard: Standardised features, from `FeatureSpace.inputs`, float32 [m, d].
            clusters: (cluster id, family, weight) of each song.
            similar: (song id, cosine) of each song.
            tags: (tag, weight) of each song; None: nobody heard any.
        """
        import torch

        pairs: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
        for row, near_clusters in enumerate(clusters):
            for id, family, _ in near_clusters:
                edge = reverse_edge(feature_edge(family))
                pairs.setdefault(edge, []).append((self._cluster_row[id], row))
        near = [(id, row) for row, near_songs in enumerate(similar) for id, _ in near_songs]
        senders = self._songs.find([id for id, _ in near])
        # A neighbour that came after the last full pass has no kept output to send.
        heard = [(int(s), row) for s, (_, row) in zip(senders, near, strict=True) if s >= 0]
        if heard:
            pairs[reverse_edge(SIMILAR_EDGE)] = heard
        for row, own in enumerate(tags or ()):
            for name, _ in own:
                pairs.setdefault(reverse_edge(TAG_EDGE), []).append((self._tag_row[name], row))
        x = torch.from_numpy(standard)
        scores = self._loaded.model.score_new(
            x,
            {edge: torch.tensor(found).T.contiguous() for edge, found in pairs.items()},
            self._loaded.layers,
        )
        # Nobody who came after the training was learned from.
        return self._judge.answers(self._genres, [""] * len(x), scores, x)

    @property
    def calibrated(self) -> bool:
        """Whether the model's probabilities are calibrated."""
        return self._judge.calibrated
