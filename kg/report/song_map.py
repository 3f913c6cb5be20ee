"""The map of the songs: points near each other where songs sound alike, coloured by genre."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from kg.maps.songs import SongMap
from kg.report import charts
from kg.report.facts import Facts, ReportSong
from kg.report.parts import Chart, Missing, Part, Section, Words
from kg.report.words import count, named, told

# Points that a map has.
POINTS = 20_000
_NO_GENRE: Final = "no genre"
_OTHERS: Final = "other genres"


def song_map(facts: Facts) -> Section:
    """Songs as points, near each other where they sound alike."""
    drawn, parts = facts.drawn, list[Part]()
    if drawn is None:
        parts.append(Missing(f"There is no map: {facts.undrawn}"))
    else:
        step = -(-len(drawn) // POINTS)
        of = {song.id: song for song in facts.songs}
        rows = [row for row in range(0, len(drawn), step) if drawn.ids[row] in of]
        coloured, grey = _series(drawn, rows, of)
        counts = ", ".join(f"{named(name)} {len(points)}" for name, points in (*coloured, *grey))
        parts += [
            Words(
                "Each point is a song; songs that sound alike lie near each other. Only sound "
                "decides where, no genre: a genre that holds together sounds like itself, and a "
                "song among those of another genre may be filed wrongly. Neither axis means "
                "anything."
                + (_SEVERAL if any(len(song.genres) > 1 for song in facts.songs) else "")
            ),
            Chart(
                "map",
                f"A map of {count(len(rows), 'song')} by sound, coloured by genre: {counts}.",
                charts.song_map(coloured, grey),
                height=640,
                hint="Point at a song for its title; click on a genre to hide it, twice to see it "
                "alone; scroll or pinch to come nearer.",
            ),
        ]
        if step > 1:
            parts.append(Words(f"One in {step} of {count(len(drawn), 'song')} is drawn."))
    return Section(
        "map",
        "A map of the songs",
        parts,
        cypher="MATCH (s:Song)-[near:SIMILAR_TO]->(other:Song) RETURN s.title, other.title, "
        "near.weight",
    )


_SEVERAL = " A song of several genres has the colour of the most frequent one."


def _series(
    drawn: SongMap, rows: Sequence[int], of: Mapping[str, ReportSong]
) -> tuple[list[charts.Series], list[charts.Series]]:
    """The most frequent genres by name, each with its songs; and all other songs."""
    songs = [of[drawn.ids[row]] for row in rows]
    counted = Counter(genre for song in songs for genre in song.genres)
    most = sorted(counted, key=lambda genre: (-counted[genre], genre))
    named: dict[str, list[charts.Point]] = {name: [] for name in sorted(most[: charts.COLOURS])}
    others: list[charts.Point] = []
    unfiled: list[charts.Point] = []
    at = {genre: place for place, genre in enumerate(most)}
    for row, song in zip(rows, songs, strict=True):
        first = min(song.genres, key=at.__getitem__, default=None)
        points = unfiled if first is None else named.get(first, others)
        points.append((float(drawn.x[row]), float(drawn.y[row]), _hover(song)))
    return (
        [(name, points) for name, points in named.items() if points],
        [(name, points) for name, points in ((_OTHERS, others), (_NO_GENRE, unfiled)) if points],
    )


def _hover(song: ReportSong) -> str:
    lines = [song.title, song.artist, ", ".join(song.genres) or _NO_GENRE]
    if song.told:
        lines.append(f"heard as {told(song.told, 1)}")
    return "\n".join(line for line in lines if line)
