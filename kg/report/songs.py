"""The songs themselves: those that the model doubts, disputed labels, copies, broken sound."""

from collections import defaultdict
from collections.abc import Mapping

from kg.audit.spread import FEWEST_SONGS
from kg.report.facts import Facts, ReportSong
from kg.report.model import untrained
from kg.report.parts import Missing, Part, Section, Table, Words
from kg.report.words import count, percent, told
from kg.splits.artists import artist_key

# Songs that a table lists.
LISTED = 25


def doubted(facts: Facts) -> Section:
    """Songs of which the model doesn't say a genre."""
    parts: list[Part] = []
    if facts.model is None:
        parts.append(untrained(facts))
    else:
        by_reason: dict[str, list[ReportSong]] = defaultdict(list)
        for song in facts.songs:
            if song.doubt is not None:
                by_reason[song.doubt].append(song)
        untold = sum(1 for song in facts.songs if not song.told)
        if untold:
            parts.append(Words(f"Of {count(untold, 'song')} it has said nothing yet."))
        elif not by_reason:
            parts.append(Words("The model says a genre of every song."))
        for why, songs in sorted(by_reason.items()):
            # The least probable first; of those unlike the library the strangest.
            songs.sort(
                key=lambda s: (-(s.novelty or 0) if why.startswith("unlike") else 0, _first(s))
            )
            parts.append(
                Table(
                    f"{why.capitalize()}: {count(len(songs), 'song')}",
                    ["song", "filed under", "the model's first two"],
                    [(s.name, ", ".join(s.genres), told(s.told)) for s in songs[:LISTED]],
                    more=_more(len(songs)),
                    cards=True,
                )
            )
    return Section(
        "doubted",
        "Songs that the model doubts",
        parts,
        _as_trained(facts),
        "MATCH (s:Song)-[p:PREDICTED_GENRE {rank: 1}]->(g:Genre) WHERE s.doubt IS NOT NULL\n"
        "RETURN s.title, s.doubt, g.name, p.probability ORDER BY p.probability",
    )


def _first(song: ReportSong) -> float:
    return song.told[0][1] if song.told else 0.0


def disputed(facts: Facts) -> Section:
    """Songs whose label is disputed most: by an audit, or where none ran by the model."""
    parts: list[Part] = []
    cypher = (
        "MATCH (s:Song)-[p:PROPOSED_GENRE {state: 'open'}]->(g:Genre)\n"
        "RETURN s.title, p.replaces, g.name, p.strength ORDER BY p.strength DESC"
    )
    protocol = ""
    if facts.disputes:
        of = {song.id: song for song in facts.songs}
        rows = [
            (
                *(_name(each.song, of), ", ".join(each.filed), each.genre),
                percent(each.strength),
                each.evidence or "",
            )
            for each in facts.disputes[:LISTED]
        ]
        parts += [
            Table(
                f"Labels that `kg audit` takes for wrong: {count(len(facts.disputes), 'song')}",
                ["song", "filed under", "rather", "strength", "evidence"],
                rows,
                numbers=(3,),
                more=_more(len(facts.disputes)),
                cards=True,
            ),
            Words("Decide about them with `kg review`; nothing changes until you do."),
        ]
        protocol = (
            "Found by an audit: each song is told by a model that learned from songs by other "
            f"artists. {_audited(facts)}".strip()
        )
    elif facts.status.audit is not None:
        audit = facts.status.audit
        if not audit.judged:
            parts.append(Words("The audit could judge no label: too few songs have genres."))
        elif audit.disputed:
            doubt = count(audit.disputed, "label")
            parts.append(Words(f"Of {doubt} in doubt none waits for your word any more."))
        else:
            parts.append(Words(f"Of {count(audit.judged, 'label')} none is in doubt."))
        protocol = _audited(facts)
    elif facts.model is None:
        parts.append(Missing("Nothing disputes a label yet: run `kg train`, then `kg audit`."))
    else:
        parts += _by_model(facts)
        protocol = _as_trained(facts)
        cypher = (
            "MATCH (s:Song)-[:IN_GENRE]->(filed:Genre),\n"
            "      (s)-[p:PREDICTED_GENRE {rank: 1}]->(heard:Genre)\n"
            "WHERE NOT EXISTS { (s)-[:IN_GENRE]->(:Genre)-[:SUBGENRE_OF*0..]->(heard) }\n"
            "RETURN s.title, filed.name, heard.name, p.probability ORDER BY p.probability DESC"
        )
    return Section("disputed", "Labels that are disputed most", parts, protocol, cypher)


def _by_model(facts: Facts) -> list[Part]:
    songs = [song for song in facts.songs if song.genres and song.told and _disputes(song, facts)]
    songs.sort(key=lambda song: (-_first(song), song.id))
    if not songs:
        return [Words("The model's first genre of every labelled song is one of its own.")]
    return [
        Table(
            f"The model's first genre is another than yours: {count(len(songs), 'song')}",
            ["song", "filed under", "heard as", "probability"],
            [
                (song.name, ", ".join(song.genres), song.told[0][0], percent(_first(song)))
                for song in songs[:LISTED]
            ],
            numbers=(3,),
            more=_more(len(songs)),
            cards=True,
        ),
        Missing(
            "This is the model's own view, surest first. `kg audit` looks for wrong labels with "
            "probabilities that no song had a part in; run it, and the report again."
        ),
    ]


def _disputes(song: ReportSong, facts: Facts) -> bool:
    first = song.told[0][0]
    return first not in song.genres and not any(
        first in facts.tree.above(genre) for genre in song.genres
    )


def copies(facts: Facts) -> Section:
    """The same recording more than once."""
    of = {song.id: song for song in facts.songs}
    parts: list[Part] = []
    exact = [song for song in facts.songs if len(song.paths) > 1]
    if exact:
        exact.sort(key=lambda song: (-len(song.paths), song.id))
        parts.append(
            Table(
                f"The same file under several names: {count(len(exact), 'song')}",
                ["song", "files", "where"],
                [
                    (song.name, str(len(song.paths)), "; ".join(map(str, song.paths[:4])))
                    for song in exact[:LISTED]
                ],
                numbers=(1,),
                more=_more(len(exact)),
                cards=True,
            )
        )
    if facts.copies:
        parts.append(
            Table(
                f"The same recording, found by `kg audit`: {count(len(facts.copies), 'pair')}",
                ["song", "the same as", "evidence"],
                [
                    (_name(each.song, of), _name(each.other, of), each.evidence)
                    for each in facts.copies[:LISTED]
                ],
                more=_more(len(facts.copies)),
                cards=True,
            )
        )
    else:
        parts += _recordings(facts)
    audited = facts.status.audit is not None
    if not parts:
        known = "" if audited else ", as far as is known"
        parts.append(Words(f"No song is there twice{known}."))
    if not facts.copies and not audited and any(song.paths for song in facts.songs):
        parts.append(
            Words("`kg audit` looks further: excerpts, other pitches and speeds of a recording.")
        )
    return Section(
        "copies",
        "Duplicates",
        parts,
        _audited(facts),
        cypher="MATCH (s:Song)-[r:SAME_RECORDING]->(o:Song) RETURN s.title, o.title, r.kind",
    )


def sound(facts: Facts) -> Section:
    """Songs whose sound is broken."""
    of = {song.id: song for song in facts.songs}
    faults = facts.faults
    parts: list[Part] = []
    if faults.found:
        parts.append(
            Table(
                f"Clipped, silent, cut off or one-sided: {count(len(faults.found), 'finding')}",
                ["song", "what it is", "evidence", "file"],
                [
                    (_name(each.song, of), each.kind, each.evidence, each.path or "")
                    for each in faults.found[:LISTED]
                ],
                more=_more(len(faults.found)),
                cards=True,
            )
        )
    elif not any(song.paths for song in facts.songs):
        parts.append(Words("These songs come from a table: there is no sound to look at."))
    elif faults.unheard < sum(1 for song in facts.songs if song.paths):
        parts.append(Words("Nothing was found in what was listened to."))
    if faults.unheard:
        parts.append(
            Missing(
                f"Of {count(faults.unheard, 'song')} nobody looked at the sound: `kg audit "
                "--listen` does."
            )
        )
    return Section(
        "sound",
        "Broken sound",
        parts,
        "Each song was looked at when it was taken in, in the part that was listened to; no audit "
        "is needed for it."
        if any(song.paths for song in facts.songs)
        else "",
        "MATCH (s:Song) RETURN s.title, s.missing, s.silence, s.clipping, s.imbalance",
    )


def artists(facts: Facts) -> Section:
    """Artists whose songs have no genre in common."""
    found = facts.spread
    parts: list[Part] = []
    if found:
        parts.append(
            Table(
                f"The most spread first: {count(len(found), 'artist')}",
                ["artist", "songs by genre"],
                [(each.artist, each.words) for each in found[:LISTED]],
                more=_more(len(found)),
            )
        )
    elif not any(artist_key(song.artist) for song in facts.keys if song.genres):
        parts.append(Words("No song that has a genre has an artist who is known."))
    else:
        parts.append(
            Words(f"Every artist with {FEWEST_SONGS} songs or more has a genre that all share.")
        )
    return Section(
        "artists",
        "Artists over several genres",
        parts,
        cypher="MATCH (a:Artist)<-[:BY]-(s:Song)-[:IN_GENRE]->(g:Genre)\n"
        "RETURN a.name, g.name, count(s) AS songs ORDER BY a.name, songs DESC",
    )


def _name(id: str, of: Mapping[str, ReportSong]) -> str:
    return of[id].name if id in of else id[:12]


def _recordings(facts: Facts) -> list[Part]:
    groups: dict[str, list[ReportSong]] = defaultdict(list)
    for song in facts.songs:
        if song.recording is not None:
            groups[song.recording].append(song)
    found = sorted((g for g in groups.values() if len(g) > 1), key=lambda g: (-len(g), g[0].id))
    if not found:
        return []
    return [
        Table(
            f"Probably the same recording: {count(len(found), 'group')}",
            ["which", "songs"],
            [
                ("; ".join(song.name for song in group[:4]), str(len(group)))
                for group in found[:LISTED]
            ],
            numbers=(1,),
            more=_more(len(found)),
        )
    ]


def _as_trained(facts: Facts) -> str:
    if facts.model is None:
        return ""
    songs = sum(1 for song in facts.songs if song.told)
    return (
        f"By model {facts.model.id}, of {count(songs, 'song')}. Songs that it learned from have "
        "probabilities that are too high, though their own genre was hidden while they were scored."
    )


def _audited(facts: Facts) -> str:
    """When the last audit ran, on what, and what has changed since; empty: none ran."""
    audit = facts.status.audit
    if audit is None:
        return ""
    at = f"{audit.created_at.astimezone():%d %B %Y, %H:%M}"
    said = f"The last audit looked at {count(audit.songs, 'song')} on {at}"
    if audit.unheard:
        said += f", at the sound of all but {audit.unheard:,} of them"
    if not audit.since:
        return f"{said}; nothing has changed since."
    again = " Run `kg audit` again to have all." if audit.outdated else ""
    return f"{said}; since then: {', '.join(audit.since)}.{again}"


def _more(found: int) -> str:
    return f"{found - LISTED:,} more." if found > LISTED else ""
