"""What is in the graph and how fresh it is, each remark with the command that mends it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kg.embeddings.choice import as_now, cut_off
from kg.excerpt import Excerpt, of_seconds
from kg.graph.audits import LastAudit, read_audit, since_then
from kg.graph.rows import Counts, ModelRow
from kg.graph.sentences import ServerInfo
from kg.graph.store import GraphStore
from kg.graph.turns import is_taken
from kg.intake.rejects import read_rejects
from kg.learning.ageing import Ageing, ageing_of
from kg.learning.saved_models import (
    ANOTHER_TREE,
    checkpoint_trouble,
    label_fingerprint,
    latest_model,
    learned_another_tree,
    none_in_use,
)
from kg.records import FeatureSet
from kg.schema import SONG_NODE
from kg.settings import Settings
from kg.splits.leaks import find_leaks
from kg.splits.protocol import SplitRule
from kg.splits.songs import SplitSong


@dataclass(frozen=True, slots=True)
class Status:
    """What is there and how fresh it is.

    Attributes:
        server: The graph database.
        counts: What is in it.
        feature_version: Version of its features; None in an empty graph.
        excerpt: How much of each song was listened to: seconds from its middle, or `full`; None in
            an empty graph, and where a table gives the features.
        families: Names of all feature families.
        given: Whether a table gives the features.
        embeddings: What songs are heard with beside our own features, and vectors from files.
        rejected: Files that the ingests of this home couldn't take in.
        model: The model in use.
        split: By which rule songs are split; None where nothing was built yet.
        ageing: What was added since the training, or the last build; None where nothing was built.
        audit: The last audit, and what has changed since; None: none ran to its end.
        stale: What is out of date, each with the command that mends it.
        busy: A command works on the graph at this moment, so that all of this may be changing.
        paths: Where things lie on disk.
    """

    server: ServerInfo
    counts: Counts
    feature_version: str | None
    excerpt: Excerpt | None
    families: Sequence[str]
    given: bool
    embeddings: Sequence[str]
    rejected: int
    model: ModelRow | None
    split: SplitRule | None
    ageing: Ageing | None
    audit: LastAudit | None
    stale: Sequence[str]
    busy: bool
    paths: Mapping[str, Path]


def status_of(
    store: GraphStore, settings: Settings, keys: Sequence[SplitSong] | None = None
) -> Status:
    """Look at everything; changes nothing.

    Args:
        store: The graph.
        settings: Where the rest lies.
        keys: All songs, from `store.read_keys`, where they were read just now anyway.
    """
    busy = is_taken(store.connection, settings.lock_file)
    counts, kinds = store.counts(), store.feature_set()
    rejected = len(read_rejects(settings.rejects_file))
    model = latest_model(store)
    paths = {
        "home": settings.kg_home,
        "feature cache": settings.cache_dir,
        "checkpoints": settings.models_dir,
    }
    if rejected:
        paths["rejected files"] = settings.rejects_file
    if settings.embedded:
        paths["server"] = settings.server_dir
    ageing = _ageing(store, counts, model, kinds)
    stale = _stale(store, counts, model, kinds, settings.models_dir, ageing, keys, busy=busy)
    if not busy and is_taken(store.connection, settings.lock_file):  # it came meanwhile
        busy = True
        stale = _stale(store, counts, model, kinds, settings.models_dir, ageing, None, busy=busy)
    return Status(
        server=store.connection.server,
        counts=counts,
        feature_version=kinds.version if kinds else None,
        excerpt=of_seconds(kinds.excerpt) if kinds and not kinds.given else None,
        families=list(kinds.families) if kinds else [],
        given=bool(kinds and kinds.given),
        embeddings=[each.name for each in kinds.embeddings] if kinds else [],
        rejected=rejected,
        model=model,
        split=store.split_rule(),
        ageing=ageing,
        audit=_audited(store, kinds),
        stale=[*stale, *_unfinished(settings)],
        busy=busy,
        paths=paths,
    )


def _audited(store: GraphStore, kinds: FeatureSet | None) -> LastAudit | None:
    audit = read_audit(store.connection)
    if audit is None or kinds is None:
        return None
    keys = store.read_keys()
    return since_then(store.connection, audit, keys, label_fingerprint(keys), kinds.version)


def _unfinished(settings: Settings) -> list[str]:
    from kg.compare.journal import is_cut_off

    said = "A comparison was cut off: give the same `kg compare` again, or --restart to drop it."
    return [said] if is_cut_off(settings.comparison_dir) else []


def _ageing(
    store: GraphStore, counts: Counts, model: ModelRow | None, kinds: FeatureSet | None
) -> Ageing | None:
    build = store.build()
    if build is None or kinds is None:
        return None
    trained = model is not None and model.build == build
    return ageing_of(store, kinds, build, counts.songs, trained=trained)


def _stale(
    store: GraphStore,
    counts: Counts,
    model: ModelRow | None,
    kinds: FeatureSet | None,
    models_dir: Path,
    ageing: Ageing | None,
    keys: Sequence[SplitSong] | None,
    *,
    busy: bool,
) -> list[str]:
    if counts.songs == 0:
        return [] if busy else ["The graph is empty: run `kg ingest FOLDER`."]
    stale = []
    build = store.build()
    if build is None and not busy:
        stale.append(cut_off(store.extending(), given=kinds is not None and bool(kinds.given)))
    if kinds is None or kinds.version != as_now(kinds).version:
        stale.append("The features are of another version of kg: ingest into a new home.")
    if build is not None and store.uncredited():
        stale.append("Artists and albums of songs are not in the graph yet: run `kg train`.")
    keys = store.read_keys() if keys is None else keys
    leaks = find_leaks(song for song in keys if song.genres)
    if leaks:
        stale.append(
            f"The split leaks: {leaks} on several sides. Run `kg train --split artist`, or train "
            "with --allow-leaks."
        )
    if model is None:
        return [*stale, none_in_use(store) or "Nothing was learned yet: run `kg train`."]
    trouble = checkpoint_trouble(model, models_dir)
    if trouble is not None:
        stale.append(
            f"The model in use {trouble}: run `kg train`, use the KG_HOME it was trained with, or "
            "choose another with `kg models use ID`."
        )
    missing = counts.songs - counts.predicted_by_model.get(model.id, 0)
    if learned_another_tree(model, store.tree):
        stale.append(ANOTHER_TREE)
    if label_fingerprint(keys) != model.labels:
        stale.append("Labelled songs have come or changed since the training: run `kg train`.")
    elif build is not None and model.build != build:
        stale.append("The graph was rebuilt after the training: run `kg train`.")
    elif model.state == "writing" and not busy:
        stale.append("Writing predictions was cut off: run `kg predict`.")
    else:
        now = store.changes()
        changed = {node for node, count in model.changes.items() if now.get(node, count) != count}
        since = f"since model {model.id} predicted: run `kg predict`."
        if SONG_NODE in changed:
            stale.append(f"Songs have left the library {since}")
        if changed - {SONG_NODE}:
            stale.append(f"Artists, albums or playlists have changed {since}")
        if missing > 0 and model.state != "writing" and trouble is None:
            have = "song has" if missing == 1 else "songs have"
            stale.append(f"{missing} {have} no prediction of this model: run `kg predict --new`.")
        stale += ageing.retrain if ageing is not None else []
    return stale
