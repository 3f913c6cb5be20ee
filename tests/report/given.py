"""Facts for a report, as records: what graphs seldom hold is put together here."""

from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from kg.audit.faults import Faults
from kg.genres.tree import Tree
from kg.graph.rows import Counts, Looks, ModelRow
from kg.graph.sentences import ServerInfo
from kg.metrics.evaluate import Confusion, Estimate, GenreScore, Score
from kg.metrics.measuring import Measured
from kg.report.facts import UNLEARNED, Facts, ReportSong
from kg.splits import SplitSong
from kg.splits.protocol import SplitRule
from kg.status import Status

DAY = datetime(2026, 5, 1, tzinfo=UTC)
HALF = Estimate(0.5, 0.3, 0.7)


def song(id: str, *genres: str, **other: Any) -> ReportSong:
    """A song of which nothing else is known."""
    bare = ReportSong(id, f"Song {id}", "", (), None, None, None, None, None, genres, ())
    return replace(bare, **other)


def key(id: str, *genres: str, **other: Any) -> SplitSong:
    """The same as splits know it."""
    return replace(SplitSong(id, genres), **other)


def measured(*genres: GenreScore, songs: int, confusions: Any = (), several: Any = ()) -> Measured:
    """What a model came to on so many songs."""
    score = Score("R-GCN + DistMult", HALF, HALF, HALF, HALF, HALF)
    return Measured(songs, [score], [], list(genres), list(confusions), list(several))


def scored(genre: str, songs: int, right: int) -> GenreScore:
    """A genre of which so many songs are heard as what they are, and no others."""
    return GenreScore(genre, songs, 1.0, right / songs, 0.5)


def taken(genre: str, heard_as: str, songs: int = 1) -> Confusion:
    return Confusion(genre, heard_as, songs)


def model(test: Measured | None = None, **metrics: Any) -> ModelRow:
    """A model that keeps these numbers."""
    kept = {"test": asdict(test)} if test is not None else {}
    return ModelRow(
        "m1", DAY, "current", "", "v1", "b1", kept | metrics, test_opened_at=DAY, test_split=""
    )


def facts(**known: Any) -> Facts:
    """Facts of an empty library but for what is known of it."""
    found = known.get("model")
    status = Status(
        server=ServerInfo("embedded", "1", "bolt://", "root", "neo4j"),
        counts=Counts(0, 0, 0, 0, 0, 0, {}, {}),
        feature_version="v1",
        excerpt=None,
        families=[],
        given=True,
        embeddings=[],
        rejected=0,
        model=found,
        split=SplitRule("artist"),
        ageing=None,
        audit=None,
        stale=[],
        busy=False,
        paths={},
    )
    bare = Facts(
        songs=[],
        status=status,
        keys=[],
        counts={"artists": 0, "albums": 0, "playlists": 0},
        most={},
        rejected=[],
        model=None,
        unlearned="" if found is not None else UNLEARNED,
        looks=Looks(1, 0) if found is not None else None,
        drawn=None,
        undrawn="",
        experiment=[],
        curve=[],
        disputes=[],
        tree=Tree({}),
        copies=[],
        faults=Faults([], 0),
        spread=[],
    )
    if "split" in known:
        known["status"] = replace(status, split=known.pop("split"))
    return replace(bare, **known)
