"""By which rule songs are split: the one that the user names, or the one that suits the songs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from kg.errors import WrongUsageError
from kg.schema import SPLITS
from kg.splits import gtzan
from kg.splits.assign import assign_splits, deal_singly, follow
from kg.splits.leaks import Leaks
from kg.splits.songs import SplitSong

Protocol = Literal["artist", "given", "gtzan", "random"]
Asked = Literal["auto", "artist", "given", "gtzan", "random"]

# Of the labelled songs, to be split by a rule that says nothing of the others.
NEARLY_ALL: Final = 0.95

RANDOM_FLATTERS: Final = (
    "A random split flatters: songs by one artist fall on all sides, and the model recognises the "
    "artist. On GTZAN that is worth 15 to 25 points of accuracy; --split artist measures honestly."
)


@dataclass(frozen=True, slots=True)
class SplitRule:
    """By which rule the songs of a library are split.

    Attributes:
        protocol: The rule.
        chosen: Whether the user named it; else it was the one that suited the songs.
    """

    protocol: Protocol
    chosen: bool = False


def as_asked(name: str) -> Asked:
    """Check the name of a rule.

    Raises:
        WrongUsageError: there is no such rule.
    """
    known: dict[str, Asked] = {asked: asked for asked in get_args(Asked)}
    if name not in known:
        raise WrongUsageError(f"There is no split {name!r}: it is one of {', '.join(known)}.")
    return known[name]


def settle_rule(
    songs: Sequence[SplitSong], asked: Asked | None, now: SplitRule | None, *, measured: bool
) -> SplitRule:
    """Which rule holds: the one asked for, else the one that holds now, else what suits the songs.

    A rule that nobody named may change as a library grows, until a model was measured by it: from
    then on other test songs would be songs that were learned from.

    Args:
        songs: All songs.
        asked: What the user names now; None: nothing.
        now: What the songs were last split by; None: nothing yet.
        measured: Whether there is a model.

    Raises:
        WrongUsageError: the songs can't be split by the rule asked for.
    """
    if asked is not None and asked != "auto":
        _require(songs, asked)
        return SplitRule(asked, chosen=True)
    if asked is None and now is not None and (now.chosen or measured):
        return now
    return SplitRule(_suits(songs))


def split_songs(
    songs: Sequence[SplitSong], rule: SplitRule, now: SplitRule | None, *, mend: bool = False
) -> dict[str, str]:
    """Side of the songs by a rule, by id.

    Under `given` and `gtzan` a labelled song that neither names is learned from, unless its artist
    or recording is held out: then it is on no side, like the clips that GTZAN's lists drop. Nothing
    but what is named is measured on.

    Args:
        songs: All songs, with the side they are on now.
        rule: The rule.
        now: What they were last split by; under another rule they are all split anew.
        mend: Under `artist`: deal anew what is on several sides.
    """
    changed = rule.protocol != (now.protocol if now else "artist")
    there = [replace(song, split=None) for song in songs] if changed else songs
    if rule.protocol == "artist":
        return assign_splits(there, mend=mend)
    if rule.protocol == "random":
        return deal_singly(there)
    labelled = [song for song in songs if song.genres]
    named = _named(labelled, rule.protocol)
    decided = [(song, side) for song in labelled if (side := named.get(song.id))]
    others = [song for song in labelled if song.id not in named]
    learned = [pair for pair in follow(others, decided, "train") if pair[1] == "train"]
    return {song.id: side for song, side in [*decided, *learned]}


def caution_of(rule: SplitRule, leaks: Leaks) -> str | None:
    """Plain words for a split that flatters; None for one that doesn't."""
    said = [RANDOM_FLATTERS] if rule.protocol == "random" else []
    if leaks:
        said.append(f"The numbers are too good: {leaks} on several sides of the split.")
    return " ".join(said) or None


def why_untested(rule: SplitRule) -> str:
    """Plain words for a split that leaves no song to measure on."""
    if rule.protocol in ("given", "gtzan"):
        said = (
            f"{_decider(rule.protocol)} none of the songs on the test side, so nothing was "
            "measured: `kg train --split artist` holds some out."
        )
        return said[0].upper() + said[1:]
    by = "" if rule.protocol == "random" else " by three artists, or three whose artist is unknown,"
    return (
        "No song is held out to measure on, so nothing was measured: a genre needs three songs"
        f"{by} that aren't copies of one recording."
    )


def _decider(protocol: Protocol) -> str:
    return "GTZAN's lists put" if protocol == "gtzan" else "the data puts"


def _suits(songs: Sequence[SplitSong]) -> Protocol:
    labelled = [song for song in songs if song.genres]
    # Part of GTZAN, or of other data that is split, may have nothing to learn from or measure on.
    by_gtzan = _named(labelled, "gtzan")
    if _covers(by_gtzan, labelled) and _on_all_sides(by_gtzan, labelled):
        return "gtzan"
    given = _named(labelled, "given")
    if _covers(given, labelled) and {"train", "test"} <= set(given.values()):
        return "given"
    return "artist"


def _require(songs: Sequence[SplitSong], asked: Protocol) -> None:
    if asked not in ("given", "gtzan"):
        return
    labelled = [song for song in songs if song.genres]
    if labelled and "train" in _named(labelled, asked).values():
        return
    if not labelled:  # a later step says so
        return
    raise WrongUsageError(
        f"--split {asked}: {_decider(asked)} no labelled song of this library on the training "
        "side. --split artist splits any library."
    )


def _named(labelled: Iterable[SplitSong], protocol: Protocol) -> Mapping[str, str | None]:
    """Songs that the rule says something of: their side, None for clips that GTZAN's lists drop."""
    if protocol == "given":
        return {song.id: song.given for song in labelled if song.given in SPLITS}
    clips = ((song, gtzan.clip(song.file) or gtzan.clip(song.title)) for song in labelled)
    return {song.id: gtzan.side(*clip) for song, clip in clips if clip}


def _covers(named: Mapping[str, str | None], labelled: Sequence[SplitSong]) -> bool:
    return bool(labelled) and len(named) >= NEARLY_ALL * len(labelled)


def _on_all_sides(named: Mapping[str, str | None], labelled: Sequence[SplitSong]) -> bool:
    """Whether every genre has songs on every side."""
    sides: dict[str, set[str | None]] = defaultdict(set)
    for song in labelled:
        for genre in song.genres:
            sides[genre].add(named.get(song.id))
    return all(found >= set(SPLITS) for found in sides.values())
