"""What is in the library: songs, genres, artists, durations; how it is split, what was refused."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from kg.excerpt import in_words
from kg.intake.rejects import by_reason
from kg.report.facts import Facts
from kg.report.parts import Bar, Beside, Missing, Part, Section, Table, Tiles, Words
from kg.report.words import count, hours, length, split_by
from kg.schema import SPLITS
from kg.splits.artists import artist_key
from kg.splits.leaks import find_leaks
from kg.splits.protocol import caution_of

# Genres that are named, and reasons for which files were left out.
GENRES, REASONS = 40, 12
_SIDES = {
    "train": "learned from",
    "valid": "held out to choose by",
    "test": "held out to measure on",
}


def library(facts: Facts) -> Section:
    """Songs, genres, artists and durations."""
    songs, counts = facts.songs, facts.counts
    lengths = [song.duration for song in songs if song.duration is not None]
    genres = {name for song in songs for name in song.genres}
    tiles = [
        _tile(len(songs), "songs"),
        (f"{sum(1 for song in songs if song.genres):,}", "with a genre of yours"),
        _tile(len(genres), "genres"),
        *(_tile(counts[kind], kind) for kind in ("artists", "albums", "playlists") if counts[kind]),
        *([(hours(sum(lengths)), "of music")] if lengths else []),
    ]
    parts: list[Part] = [Tiles(tiles)]
    if lengths:
        parts.append(Words(_durations(lengths, len(songs))))
    if not counts["artists"]:
        parts.append(Words("No artist is known: neither tags nor tables name one."))
    parts += _listed(facts)
    heard = facts.status.excerpt
    if heard is not None:
        parts.append(Words(f"{in_words(heard).capitalize()} was listened to."))
    return Section(
        "library",
        "The library",
        parts,
        cypher="MATCH (s:Song)-[:IN_GENRE]->(g:Genre) RETURN g.name, count(s) AS songs\n"
        "ORDER BY songs DESC",
    )


def _tile(number: int, what: str) -> tuple[str, str]:
    return f"{number:,}", what.removesuffix("s") if number == 1 else what


def _durations(lengths: Sequence[float], songs: int) -> str:
    low, middle, high = (length(float(at)) for at in np.percentile(lengths, [5, 50, 95]))
    least, most = length(min(lengths)), length(max(lengths))
    if least == most:
        said = f"Every song lasts {most}." if len(lengths) > 1 else f"It lasts {most}."
    elif low == high:
        said = f"Nearly every song lasts {middle}, all {least} to {most}."
    else:
        said = (
            f"The middle song lasts {middle}, nine in ten {low} to {high}, all {least} to {most}."
        )
    unknown = songs - len(lengths)
    return f"{said} Of {count(unknown, 'song')} the length isn't known." if unknown else said


def _listed(facts: Facts) -> list[Part]:
    """Genres, and beside them artists and albums."""
    genres = _genres(facts)
    if isinstance(genres, Table):
        return [Beside([genres, *_most(facts)])]
    return [genres, Beside(_most(facts))]


def _genres(facts: Facts) -> Table | Missing:
    counted = Counter(name for song in facts.songs for name in song.genres)
    if not counted:
        return Missing(
            "No song has a genre: put the music into one folder a genre and run `kg ingest FOLDER "
            "--genres-from folder`, or use tags with `--genres-from tag`."
        )
    named = sorted(counted.items(), key=lambda each: (-each[1], each[0]))
    most = named[0][1]
    without = sum(1 for song in facts.songs if not song.genres)
    more = [f"{count(len(named) - GENRES, 'genre')} more."] if len(named) > GENRES else []
    if without:
        more.append(f"{count(without, 'song has', 'songs have')} no genre.")
    return Table(
        "Songs by genre, as you filed them",
        ["genre", "songs"],
        [(name, Bar(f"{songs:,}", songs / most)) for name, songs in named[:GENRES]],
        numbers=(1,),
        more=" ".join(more),
    )


def _most(facts: Facts) -> list[Table]:
    return [
        Table(
            f"{kind.capitalize()} with the most songs",
            [kind.removesuffix("s"), "songs"],
            [(name or "", Bar(f"{songs:,}", songs / found[0][1])) for name, songs in found],
            numbers=(1,),
        )
        for kind, found in facts.most.items()
        if found and found[0][1] > 1
    ]


def split(facts: Facts) -> Section:
    """What is learned from, what is held out, and what was left out."""
    parts: list[Part] = []
    rule = facts.status.split
    labelled = [song for song in facts.keys if song.genres]
    if rule is None:
        parts.append(Missing("Songs are not split yet: `kg ingest` was cut off; run it again."))
    elif not labelled:
        parts.append(Words("Songs are split by genre, and none has one."))
    else:
        chosen = ", as you chose" if rule.chosen else ""
        how = split_by(rule.protocol, [song.artist for song in labelled])
        parts.append(Words(f"Songs that have a genre are split {how}{chosen}."))
        parts.append(_sides(facts))
        caution = caution_of(rule, find_leaks(labelled))
        if caution:
            parts.append(Words(caution))
        unknown = sum(1 for song in labelled if not artist_key(song.artist))
        if rule.protocol == "artist" and 0 < unknown < len(labelled):
            parts.append(
                Words(
                    f"{count(unknown, 'song')} by nobody known "
                    f"{'is' if unknown == 1 else 'are'} split one by one."
                )
            )
    parts += _refused(facts)
    return Section(
        "split",
        "What is learned from, and what was left out",
        parts,
        cypher="MATCH (s:Song) WHERE EXISTS { (s)-[:IN_GENRE]->(:Genre) }\n"
        "RETURN s.split, count(s) AS songs",
    )


def _sides(facts: Facts) -> Part:
    labelled = [song for song in facts.keys if song.genres]
    rows = []
    for side in (*SPLITS, None):
        own = [song for song in labelled if song.split == side]
        artists = {key for song in own if (key := artist_key(song.artist))}
        if own or side is not None:
            name = _SIDES[side] if side else "left out by this rule"
            rows.append((name, f"{len(own):,}", f"{len(artists):,}"))
    # Where nobody knows an artist there is nothing to be said of them.
    columns = 3 if any(artist_key(song.artist) for song in labelled) else 2
    return Table(
        "Songs by side",
        ["side", "songs", "artists"][:columns],
        [row[:columns] for row in rows],
        numbers=(1, 2),
    )


def _refused(facts: Facts) -> list[Part]:
    if not facts.rejected:
        return [Words("No file was refused when music was taken in.")]
    reasons = by_reason(facts.rejected)
    listed = reasons[:REASONS]
    return [
        Table(
            f"{count(len(facts.rejected), 'file')} could not be taken in",
            ["reason", "files", "for example"],
            [(each.reason, f"{each.files:,}", each.example.name) for each in listed],
            numbers=(1,),
            more=f"All of them: {facts.status.paths.get('rejected files', '')}",
        )
    ]
