"""Genres of songs that came after the training, guessed from their neighbours alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from kg.graph.rows import Floats, ModelRow
from kg.learning.doubt import Answer
from kg.learning.kept import KeptGraph
from kg.schema import (
    FURTHER,
    SIMILAR_EDGE,
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
        self._kept = KeptGraph(model, models_dir, build)
        self._cluster_row = {id: row for row, id in enumerate(self._kept.clusters)}

    def guess(
        self,
        standard: Floats,
        clusters: Sequence[Sequence[tuple[str, str, float]]],
        similar: Sequence[Sequence[tuple[str, float]]],
        further: Mapping[str, Sequence[Sequence[str]]] | None = None,
    ) -> list[Answer]:
        """The first genres of m new songs, and what they come to.

        Args:
            standard: Standardised features, from `FeatureSpace.inputs`, float32 [m, d].
            clusters: (cluster id, family, weight) of each song.
            similar: (song id, cosine) of each song.
            further: Keys of what else each song hangs on, by node type.
        """
        import torch

        pairs: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
        for row, near_clusters in enumerate(clusters):
            for id, family, _ in near_clusters:
                edge = reverse_edge(feature_edge(family))
                pairs.setdefault(edge, []).append((self._cluster_row[id], row))
        near = [(id, row) for row, near_songs in enumerate(similar) for id, _ in near_songs]
        senders = self._kept.songs.find([id for id, _ in near])
        # A neighbour that came after the last full pass has no kept output to send.
        heard = [(int(s), row) for s, (_, row) in zip(senders, near, strict=True) if s >= 0]
        if heard:
            pairs[reverse_edge(SIMILAR_EDGE)] = heard
        for node, names in self._kept.further.items():
            own = (further or {}).get(node, ())
            hung = [(key, row) for row, keys in enumerate(own) for key in keys]
            # Nor has one that came with such a song.
            known = zip(names.find([key for key, _ in hung]).tolist(), hung, strict=True)
            if linked := [(sender, row) for sender, (_, row) in known if sender >= 0]:
                pairs[FURTHER[node].to_song] = linked
        x = torch.from_numpy(standard)
        scores = self._kept.net.score_new(
            x,
            {edge: torch.tensor(found).T.contiguous() for edge, found in pairs.items()},
            self._kept.layers,
        )
        # Nobody who came after the training was learned from.
        return self._kept.judge.answers(self._kept.genres, [""] * len(x), scores, x)

    @property
    def calibrated(self) -> bool:
        """Whether the model's probabilities are calibrated."""
        return self._kept.judge.calibrated
