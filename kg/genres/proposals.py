"""Answers of the library as an owner's policy lets them be shown; what is stored is untouched."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kg.genres.policy import EVERYTHING, Policy
from kg.genres.tree import Tree
from kg.graph.rows import Guess

if TYPE_CHECKING:
    from kg.genres.suggesting import SuggestReport
    from kg.graph.proposals import Proposal
    from kg.graph.store import GraphStore
    from kg.intake.audio import AddedSong


def shown_guesses(guesses: Sequence[Guess], policy: Policy, tree: Tree) -> list[Guess]:
    """A song's predicted genres as they are shown; ranks are counted anew."""
    if policy == EVERYTHING:
        return list(guesses)
    told = policy.chosen([(guess.genre, guess.probability) for guess in guesses], tree)
    return [
        replace(guesses[at], genre=genre, rank=rank)
        for rank, (at, genre) in enumerate(told, start=1)
    ]


def shown_proposals(
    proposals: "Iterable[Proposal]", policy: Policy, tree: Tree
) -> "Iterator[Proposal]":
    """What waits for the owner, as a policy lets it be proposed."""
    for each in proposals:
        if each.genre in each.filed:  # another one would go
            if not policy.keep:
                yield each
            continue
        told = [(each.genre, each.strength), *each.others]
        certain = each.kind != "suggestion"
        left = policy.proposed(told, each.filed, tree, probabilities=certain)
        if left and left[0][0] not in each.filed:
            genre, strength = left[0]
            yield replace(each, genre=genre, strength=strength, others=tuple(left[1:]))


def shown_songs(songs: "Sequence[AddedSong]", policy: Policy, tree: Tree) -> "list[AddedSong]":
    """New songs with their predicted genres as they are shown."""
    return [replace(song, guesses=shown_guesses(song.guesses, policy, tree)) for song in songs]


def proposed_suggestions(
    report: "SuggestReport", policy: Policy, store: "GraphStore"
) -> "SuggestReport":
    """Suggestions as they are proposed; songs for which none is left are counted as untold."""
    from kg.genres.suggesting import Suggestion

    if policy == EVERYTHING:
        return report
    tree, own = store.tree(), store.genres_by_song() if policy.keep else {}
    songs, untold, kept = [], report.untold, report.labelled
    for song in report.songs:
        told = [(each.genre, each.weight) for each in song.suggestions]
        left = policy.proposed(told, own.get(song.id, ()), tree, probabilities=False)
        if left:
            suggestions = [Suggestion(genre, weight) for genre, weight in left]
            songs.append(replace(song, suggestions=suggestions))
        elif policy.keep and own.get(song.id):
            kept += 1
        else:
            untold += 1
    return replace(report, songs=songs, untold=untold, labelled=kept)
