"""`kg predict --new`: predictions for the songs that have none of the model in use."""

from pathlib import Path

from kg.errors import NotReadyError
from kg.graph.store import GraphStore
from kg.graph.transactions import batches
from kg.learning.guessing import NewSongs
from kg.learning.saved_models import latest_model, learned_another_tree, none_in_use
from kg.learning.training import PredictReport
from kg.progress import SILENT, Progress
from kg.schema import FURTHER


def predict_new(
    store: GraphStore, models_dir: Path, centroids_dir: Path, progress: Progress = SILENT
) -> PredictReport:
    """Give predictions to the songs that have none of the model in use.

    They are told from the kept outputs of what they hang on, so the cost is theirs and not the
    library's; no other song is read or written.

    Args:
        store: The graph, in which nobody else writes meanwhile.
        models_dir: Folder of the checkpoints.
        centroids_dir: Where centroids are kept.
        progress: Told how far it is.

    Raises:
        NotReadyError: there is no model, its predictions were cut off, or the graph was rebuilt
            since it last saw it.
    """
    model = latest_model(store)
    if model is None:
        raise NotReadyError(
            none_in_use(store) or "There is no model to predict with: run `kg train` first."
        )
    if model.state == "writing":
        raise NotReadyError(
            f"Writing the predictions of model {model.id} was cut off, so all songs need theirs: "
            "run `kg predict` without --new."
        )
    build = store.build()
    if build is None:
        raise NotReadyError("The graph is not finished: run the same `kg ingest` again.")
    guesser = NewSongs(model, models_dir, build)
    missing = store.without_predictions(model.id, build)
    predicted = 0
    if missing:
        space, _ = store.read_space(centroids_dir)
        with progress.stage("Predicting", len(missing)) as advance:
            for batch in batches(missing):
                songs = store.features_of(batch, space.kinds)
                hanging = store.hanging(songs.ids)
                answers = guesser.guess(
                    space.inputs(space.standardise(songs.features)),
                    [song.clusters for song in hanging],
                    [song.similar for song in hanging],
                    {node: [song.further[node] for song in hanging] for node in FURTHER},
                )
                told = dict(zip(songs.ids, answers, strict=True))
                store.write_predictions(
                    model.id,
                    model.created_at,
                    [(id, answer.guesses) for id, answer in told.items()],
                    verdicts={id: answer.verdict for id, answer in told.items()},
                )
                predicted += len(told)
                advance(len(batch))
    return PredictReport(
        model,
        predicted,
        rebuilt_since=model.build != build,
        calibrated=guesser.calibrated,
        another_tree=learned_another_tree(model, store.tree),
    )
