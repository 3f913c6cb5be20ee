"""Why a song has its genres: each piece of evidence in the graph, and what it is worth.

What a piece is worth is measured: the song is scored again without the messages of that neighbour,
and what the genre's score loses is its contribution (`models.attribution`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kg.asking.wording import (
    cluster_in_words,
    further_in_words,
    listed,
    networks_of,
    song_in_words,
    sound_in_words,
    standing,
    tag_in_words,
)
from kg.embeddings.tags import tag_names
from kg.errors import NotReadyError
from kg.genres.levels import GIVEN, at_level
from kg.graph import queries
from kg.graph.literals import with_literals
from kg.graph.lookup import find_song, read_song
from kg.graph.rows import Guess
from kg.graph.store import GraphStore
from kg.graph.surroundings import (
    GenresAround,
    Known,
    Surroundings,
    genres_around,
    names_of,
    predicted_by,
    read_known,
)
from kg.hetero import to_hetero
from kg.learning.kept import KeptGraph, seen_by_model
from kg.learning.saved_models import known_nodes
from kg.learning.training import InTurn, at_once
from kg.progress import SILENT, Progress
from kg.records import FeatureSet
from kg.schema import FURTHER, SIMILAR_EDGE, TAG_NODE, EdgeType, feature_edge
from kg.text import printable

if TYPE_CHECKING:
    from torch import Tensor

    from models.attribution import Attribution, Neighbour

EXPLAINED: Final = 2
"""Genres of a song that are explained: the first ones."""

NAMED: Final = 8
"""Pieces of evidence that are named for a genre, unless it is said otherwise."""

AGREES: Final = 0.05
"""A stored score that differs by more is that of another graph: a twentieth of a genre's odds. On
the same graph they differ by 1e-5."""

# Of all that a song's own sound says: families that say less are not named.
_WEIGHTY: Final = 0.2


@dataclass(frozen=True, slots=True)
class Evidence:
    """A neighbour of the song, and what it is worth for a genre.

    Attributes:
        relationship: SIMILAR_TO, HAS_FEATURE, HAS_TAG, BY, ON or CONTAINS.
        key: Of the neighbour.
        words: The same for people.
        contribution: What the genre's score loses without it; below 0 it speaks against the genre.
        share: Of all that the song's neighbours contribute for and against, -1 to 1.
    """

    relationship: str
    key: str
    words: str
    contribution: float
    share: float


@dataclass(frozen=True, slots=True)
class Together:
    """All neighbours of one kind, and what the genre would be without them.

    Attributes:
        relationship: SIMILAR_TO, HAS_FEATURE, HAS_TAG, BY, ON or CONTAINS.
        family: The feature family of HAS_FEATURE, else None.
        neighbours: How many they are.
        contribution: What the genre's score loses without all of them.
        rank: Where the genre would stand without them, among genres that it is no kind of.
        first: Which genre would be first.
    """

    relationship: str
    family: str | None
    neighbours: int
    contribution: float
    rank: int
    first: str


@dataclass(frozen=True, slots=True)
class OwnSound:
    """What the song's own features say, whatever its neighbours are.

    Attributes:
        rank: Where the genre would stand without any neighbour, among genres that it is no kind of.
        first: Which genre would be first then.
        contribution: What the genre's score loses where the song sounds like the mean of all songs.
        families: The same of one family of features.
    """

    rank: int
    first: str
    contribution: float
    families: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class GenreExplained:
    """Why a song has a genre.

    Attributes:
        genre: Its name.
        rank: Among the song's predicted genres, from 1.
        probability: As the graph has it.
        score: As the graph has it.
        evidence: All neighbours, what speaks for the genre first.
        named: The weightiest of them in the same order; the one that speaks most for the genre is
            always among them.
        together: The neighbours by kind.
        own: The song's own features.
        summary: Sentences on what would be without neighbours of one kind, and without any.
        cypher: Shows the paths to the neighbours in `named`.
    """

    genre: str
    rank: int
    probability: float
    score: float
    evidence: Sequence[Evidence]
    named: Sequence[Evidence]
    together: Sequence[Together]
    own: OwnSound
    summary: Sequence[str]
    cypher: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a song has its first genres.

    Attributes:
        id: The song.
        title: Its title, else its file's name, else its id.
        artist: None where unknown.
        genres: What its owner says, which carries no message while the song is scored.
        model: Whose prediction it is.
        doubt: Why the song is `unknown` all the same; None: it isn't.
        explained: The first genres.
    """

    id: str
    title: str
    artist: str | None
    genres: Sequence[str]
    model: str
    doubt: str | None
    explained: Sequence[GenreExplained]


def explain(
    store: GraphStore,
    models_dir: Path,
    text: str,
    *,
    named: int = NAMED,
    progress: Progress = SILENT,
    in_turn: InTurn = at_once,
) -> Explanation:
    """Explain the first predicted genres of a song.

    A song that wasn't trained on is scored from its neighbours' kept outputs, so that its cost
    doesn't grow with the library. One that was takes a pass over the whole graph.

    Args:
        store: The graph.
        models_dir: Folder of the checkpoints.
        text: The song's title, path or id.
        named: Most pieces of evidence that are named for a genre.
        progress: Told of what takes long.
        in_turn: Runs the reading of the whole graph.

    Raises:
        KgError: no song is called so, or several are.
        NotReadyError: it has no predictions of the model in use, or the graph has changed since.
    """
    id = find_song(store.connection, text)
    said = read_song(store.connection, id)
    guesses = said.guesses
    kept, song, x, kinds = seen_by_model(store, models_dir, id)
    if predicted_by(store.connection, id) != kept.model.id or not guesses:
        raise NotReadyError(
            f"{printable(repr(song.name))} has no predictions of the model in use yet: run "
            "`kg predict`."
        )

    from models.attribution import attribute, lifted

    layers = kept.layers
    if song.split == "train" and song.genres:
        layers = _layers_of_its_pass(store, kept, id, progress, in_turn)
    found = lifted(attribute(kept.net, x, kept.neighbours(song), layers), kept.judge.implied)
    genre_row = {name: row for row, name in enumerate(kept.genres)}
    for guess in guesses:
        row = genre_row.get(guess.genre)
        if row is None or abs(float(found.scores[row]) - guess.score) > AGREES:
            raise _changed(kept.model.id)

    first = guesses[:EXPLAINED]
    facts = _facts(store, kept, song, kinds, [guess.genre for guess in first])
    return Explanation(
        id=id,
        title=song.name,
        artist=song.artist,
        genres=song.genres,
        model=kept.model.id,
        doubt=said.properties.get("doubt"),
        explained=[_explained(guess, song, found, facts, named) for guess in first],
    )


def _changed(model: str) -> NotReadyError:
    return NotReadyError(
        f"The graph has changed since model {model} predicted this song's genres: run `kg predict`."
    )


def _layers_of_its_pass(
    store: GraphStore, kept: KeptGraph, song: str, progress: Progress, in_turn: InTurn
) -> "list[dict[str, Tensor]]":
    """Layer outputs of the pass that scored a song which was trained on.

    In the kept outputs all training genres carry. The song's own may not, or its genre's embedding
    and its neighbours' would tell the answer they have heard from it. So the pass is done again in
    which its fold's genres carried nothing, on the songs that were there.
    """
    from models import training

    with progress.stage("Reading the graph", None):
        rows = in_turn(store.read_graph).only(set(kept.songs)).known_to(known_nodes(kept.net))
        data, maps = to_hetero(at_level(rows, kept.level))
    further = {node: tuple(names) for node, names in kept.further.items()}
    if (
        [*maps.songs] != [*kept.songs]
        or [*maps.genres] != [*kept.genres]
        or maps.further != further
    ):
        raise _changed(kept.model.id)
    try:
        return training.layer_outputs(kept.net, data, scored=kept.row_of(song))
    except ValueError as error:  # it doesn't fit the model
        raise _changed(kept.model.id) from error


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the song's neighbours are in the graph, and to people.

    Attributes:
        kept: Whose rows the neighbours are.
        family_of: Feature family by edge type.
        networks: Names of pretrained networks by their families.
        hears: Which network hears a tag.
        songs: Similar songs by id.
        clusters: Songs around the song's clusters by their ids.
        names: What these are called, by node type and key.
        further: Songs around what else the song hangs on, by node type and key.
    """

    kept: KeptGraph
    family_of: Mapping[EdgeType, str]
    networks: Mapping[str, str]
    hears: Mapping[str, str]
    songs: Mapping[str, Known]
    clusters: Mapping[str, GenresAround]
    names: Mapping[str, Mapping[str, str]]
    further: Mapping[str, Mapping[str, GenresAround]]

    def kind(self, relation: EdgeType) -> tuple[str, str | None]:
        """Relationship and feature family of a relation."""
        other = {SIMILAR_EDGE: "SIMILAR_TO", **{each.edge: each.type for each in FURTHER.values()}}
        return other.get(relation, "HAS_FEATURE"), self.family_of.get(relation)

    def of(self, neighbour: "Neighbour", genre: str) -> tuple[str, str, str]:
        """Relationship, key and words of a neighbour as evidence for a genre."""
        if neighbour.relation == SIMILAR_EDGE:
            id = self.kept.songs[neighbour.number]
            known = self.songs.get(id) or Known(id, None, (), told=False)
            return "SIMILAR_TO", id, song_in_words(known)
        for node, each in FURTHER.items():
            if neighbour.relation == each.edge:
                key = self.kept.further[node][neighbour.number]
                return each.type, key, self._in_words(node, key, self.further[node][key], genre)
        family, cluster = self.family_of[neighbour.relation], self.kept.clusters[neighbour.number]
        around = self.clusters[cluster]
        words = cluster_in_words(family, cluster, self.networks, around, genre)
        return "HAS_FEATURE", cluster, words

    def _in_words(self, node: str, key: str, around: GenresAround, genre: str) -> str:
        if node == TAG_NODE:
            return tag_in_words(key, self.hears.get(key, "a network"), around, genre)
        return further_in_words(node, self.names[node].get(key, key), around, genre)


def _facts(
    store: GraphStore,
    kept: KeptGraph,
    song: Surroundings,
    kinds: FeatureSet,
    genres: Sequence[str],
) -> _Facts:
    # Where a song has one genre, "rock" is filed as rock and as no kind of it.
    implied = bool(kept.judge.implied) or kept.level != GIVEN

    def around(relationship: str, keys: Sequence[str]) -> dict[str, GenresAround]:
        return genres_around(store.connection, song.id, relationship, keys, genres, implied=implied)

    return _Facts(
        kept=kept,
        family_of={feature_edge(family): family for family in kinds.families},
        networks=networks_of(kinds),
        hears={tag: each.name for each in kinds.embeddings for tag in tag_names(each)},
        songs=read_known(store.connection, {*song.like, *song.likened}),
        clusters=around("HAS_FEATURE", [cluster for _, cluster in song.clusters]),
        further={
            node: around(each.type, song.further[node])
            for node, each in FURTHER.items()
            if song.further[node]
        },
        names={
            node: names_of(store.connection, node, song.further[node])
            for node in FURTHER
            if song.further[node]
        },
    )


def _explained(
    guess: Guess, song: Surroundings, found: "Attribution", facts: _Facts, most: int
) -> GenreExplained:
    genres = facts.kept.genres
    row = genres.index(guess.genre)
    scores = found.scores
    # What it is a kind of is always above it, and no rival.
    above = [over for over, below in facts.kept.judge.implied if row in below]

    def lost(without: "Tensor") -> float:
        return float(scores[row] - without[row])

    def stands(left: "Tensor") -> tuple[int, str]:
        rivals = left.clone()
        rivals[above] = -math.inf
        return 1 + int((rivals > rivals[row]).sum()), genres[int(rivals.argmax())]

    lost_without = {each: lost(left) for each, left in found.without_neighbour.items()}
    whole = sum(map(abs, lost_without.values())) or 1.0
    evidence = [
        Evidence(*facts.of(each, guess.genre), contribution, contribution / whole)
        for each, contribution in lost_without.items()
    ]
    evidence.sort(key=lambda piece: -piece.contribution)
    together = [
        Together(
            *facts.kind(relation),
            sum(1 for each in lost_without if each.relation == relation),
            lost(left),
            *stands(left),
        )
        for relation, left in found.without_relation.items()
    ]
    families = {family: lost(left) for family, left in found.without_group.items()}
    own = OwnSound(*stands(found.alone), lost(found.unheard), families)
    named = _weightiest(evidence, most)
    return GenreExplained(
        genre=guess.genre,
        rank=guess.rank,
        probability=guess.probability,
        score=guess.score,
        evidence=evidence,
        named=named,
        together=together,
        own=own,
        summary=[
            *_without(together, guess, stands(scores)[0]),
            _by_itself(own, guess, stands(scores)[0], facts.networks),
        ],
        cypher=with_literals(
            queries.PATHS, song=song.id, rank=guess.rank, keys=[piece.key for piece in named]
        ),
    )


def _weightiest(evidence: Sequence[Evidence], most: int) -> list[Evidence]:
    """The first piece and those that weigh most, for or against, in their order."""
    by_weight = sorted(evidence[1:], key=lambda piece: -abs(piece.contribution))
    named = {piece.key for piece in by_weight[: most - 1]}
    return [*evidence[:1], *(piece for piece in evidence[1:] if piece.key in named)]


def _without(together: Sequence[Together], guess: Guess, now: int) -> list[str]:
    """What would be without all similar songs, all tags, all playlists."""
    called = {"SIMILAR_TO": "similar songs", "HAS_TAG": "tags", "CONTAINS": "playlists"}
    return [
        f"Without {_all(each.neighbours)} {called[each.relationship]} "
        f"{standing(guess.genre, each.rank, each.first, now=now)}."
        for each in together
        if each.neighbours > 1 and each.relationship in called
    ]


def _all(count: int) -> str:
    return "both" if count == 2 else f"all {count}"


def _by_itself(own: OwnSound, guess: Guess, now: int, networks: Mapping[str, str]) -> str:
    """What the song's own sound says, and by what most of all."""
    said: dict[str, float] = {}
    for family, contribution in own.families.items():
        words = sound_in_words(family, networks)
        said[words] = said.get(words, 0.0) + contribution
    least = _WEIGHTY * sum(map(abs, said.values()))
    by_weight = sorted(said.items(), key=lambda each: -abs(each[1]))
    weighty = [(words, worth) for words, worth in by_weight if abs(worth) >= least > 0]
    sides = {
        "for it": [words for words, worth in weighty if worth > 0],
        "against it": [words for words, worth in weighty if worth < 0],
    }
    reasons = "; ".join(f"{side}: {listed(words)}" for side, words in sides.items() if words)
    stands = standing(guess.genre, own.rank, own.first, now=now)
    because = f" ({reasons})" if reasons else ""
    return f"By its own sound alone, without any neighbour, {stands}{because}."
