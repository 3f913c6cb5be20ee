"""What is proposed waits for its owner; nothing else changes that word, and it can be undone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from kg import Library
from kg.audio.synth import GENRES
from kg.deciding import Asked, decide_all
from kg.errors import KgError, WrongUsageError
from kg.genres.files import TreeFile
from kg.graph.audits import AuditRow, write_audit
from kg.graph.decisions import still_open
from kg.graph.proposals import (
    DecidedError,
    Decision,
    Dispute,
    Proposal,
    UnknownGenreError,
    write_disputes,
)
from kg.learning.training import TrainOptions

LABELS = """
MATCH (s:Song)-[r:IN_GENRE]->(g:Genre)
RETURN s.id, g.name, properties(r) AS own ORDER BY s.id, g.name
"""
STATES = "MATCH (:Song)-[p:PROPOSED_GENRE]->(g:Genre) RETURN g.name, p.state ORDER BY g.name"
FIRST, SECOND = GENRES[0], GENRES[1]
LOOKED = AuditRow(datetime.now(UTC), 24, 24, 24, False, 0, 1, 0, 0, 0, 0, "", "", "")


@pytest.fixture
def filed(library: Library, music: Path) -> Library:
    """A library whose songs are filed under the genres of their folders."""
    library.ingest(music, genres_from="folder")
    return library


def song(library: Library, number: int = 0) -> str:
    """A song of the first genre."""
    rows = library.ask(
        "MATCH (s:Song)-[:IN_GENRE]->(:Genre {name: $name}) RETURN s.id ORDER BY s.path",
        {"name": FIRST},
    ).rows
    return str(rows[number][0])


def dispute(id: str, genre: str = SECOND, strength: float = 0.9) -> Dispute:
    return Dispute(id, genre, strength, (FIRST,), 0.05, "audit")


def genres_of(library: Library, id: str) -> list[tuple[str, dict[str, Any]]]:
    return [(name, own) for song, name, own in library.ask(LABELS).rows if song == id]


def test_a_disputed_label_waits_and_is_accepted_and_undone(filed: Library, music: Path) -> None:
    one, two = song(filed), song(filed, 1)
    before = filed.ask(LABELS).rows
    assert len(write_disputes(filed.connection, [dispute(one, strength=0.8), dispute(two)])) == 2
    assert filed.ask(LABELS).rows == before  # proposing changes nothing
    waiting = filed.proposals()
    assert [(p.song, p.genre, p.filed, p.replaces, p.kind) for p in waiting] == [
        (two, SECOND, (FIRST,), (FIRST,), "label"),
        (one, SECOND, (FIRST,), (FIRST,), "label"),
    ]
    done = filed.accept(two, SECOND, proposal=waiting[0])
    assert (done.state, done.before, done.after) == ("accepted", (FIRST,), (SECOND,))
    ((name, own),) = genres_of(filed, two)
    assert (name, own["source"], own["was"]) == (SECOND, "user", [FIRST])
    assert own["decidedAt"]
    assert [p.song for p in filed.proposals()] == [one]
    # Neither an ingest nor another audit touches an owner's word.
    filed.ingest(music, genres_from="folder")
    write_disputes(filed.connection, [dispute(one)])
    assert [name for name, _ in genres_of(filed, two)] == [SECOND]
    undone = filed.undo()
    assert (undone.song, undone.state, undone.after) == (two, "open", (FIRST,))
    assert filed.ask(LABELS).rows == before
    assert {p.song for p in filed.proposals()} == {one, two}
    with pytest.raises(KgError, match="no decision to undo"):
        filed.undo()


def test_what_was_rejected_is_not_proposed_again(filed: Library) -> None:
    one, two = song(filed), song(filed, 1)
    write_disputes(filed.connection, [dispute(one), dispute(two)])
    before = filed.ask(LABELS).rows
    done = filed.reject(one, SECOND.upper())  # in any spelling
    assert (done.genre, done.state, done.before, done.after) == (
        SECOND, "rejected", (FIRST,), (FIRST,),
    )  # fmt: skip
    assert filed.ask(LABELS).rows == before
    # The owner's label was confirmed, against any other genre too.
    written = write_disputes(filed.connection, [dispute(one, GENRES[2]), dispute(two)])
    assert [each.song for each in written] == [two]
    assert [p.song for p in filed.proposals()] == [two]
    # An owner may think again, at once or by undoing.
    assert filed.accept(one, SECOND).after == (SECOND,)
    filed.undo(one)
    filed.reject(two, SECOND)
    assert filed.undo().song == two
    assert filed.ask(LABELS).rows == before


def test_one_genre_more_takes_none_away_and_one_too_many_leaves_the_others(
    filed: Library,
) -> None:
    one, two = song(filed), song(filed, 1)
    write_disputes(filed.connection, [Dispute(one, SECOND, 0.95, (), 0.0, "audit", "sounds so")])
    (missing,) = filed.proposals()
    assert (missing.replaces, missing.evidence) == ((), "sounds so")
    filed.reject(one, SECOND)
    filed.undo()
    before = filed.ask(LABELS).rows
    assert filed.accept(one, SECOND).after == tuple(sorted((FIRST, SECOND)))
    # Now it has two, and one of these is one too many.
    write_disputes(filed.connection, [Dispute(one, FIRST, 0.97, (SECOND,), 0.03, "audit")])
    (extra,) = filed.proposals()
    assert (extra.genre, extra.replaces) == (FIRST, (SECOND,))
    assert filed.accept(one, FIRST, proposal=extra).after == (FIRST,)
    assert filed.proposals() == []
    assert filed.undo().after == tuple(sorted((FIRST, SECOND)))
    assert filed.undo().after == (FIRST,)
    assert filed.ask(LABELS).rows == before
    # What it disputed went by itself meanwhile.
    write_disputes(filed.connection, [dispute(two)])
    filed.accept(two, GENRES[2])
    assert two not in {each.song for each in filed.proposals()}


def test_songs_without_a_genre_get_the_model_s_word_to_decide_about(
    library: Library, music: Path
) -> None:
    library.ingest(music / FIRST, genres_from="folder")
    library.ingest(music / SECOND, genres_from="folder")
    library.ingest(music / GENRES[2], genres_from="none")
    library.train(TrainOptions(epochs=5, precision=0.01))
    library.connection.write(lambda tx: tx.run("MATCH (s:Song) SET s.doubt = null").consume())
    waiting = library.proposals()
    assert len(waiting) == 6
    assert {p.kind for p in waiting} == {"prediction"}
    assert [p.strength for p in waiting] == sorted((p.strength for p in waiting), reverse=True)
    one = waiting[0]
    library.reject(one.song, one.genre, proposal=one)
    left = next(p for p in library.proposals() if p.song == one.song)
    assert left.genre == one.others[0][0]  # the next best
    two = waiting[1]
    library.accept(two.song, two.genre, proposal=two)
    assert [(name, own["source"]) for name, own in genres_of(library, two.song)] == [
        (two.genre, "user")
    ]
    library.undo()
    assert genres_of(library, two.song) == []
    assert library.undo().song == one.song
    assert library.proposals() == waiting
    assert library.ask(STATES).rows == []
    policy = library.settings.kg_home / "genre-policy.toml"
    policy.write_text(f'allowed = ["{one.genre}"]\n', encoding="utf-8")
    assert {p.genre for p in library.proposals()} == {one.genre}


def test_a_genre_by_hand_replaces_all_or_what_is_named(filed: Library) -> None:
    one = song(filed)
    before = filed.ask(LABELS).rows
    assert filed.accept(one, "Hypnagogic Pop", replaces=(), new=True).after == (
        "Hypnagogic Pop",
        FIRST,
    )
    assert [own["source"] for _, own in genres_of(filed, one)] == ["user", "folder"]
    assert filed.accept(one, SECOND).after == (SECOND,)
    filed.undo()
    assert [name for name, _ in genres_of(filed, one)] == ["Hypnagogic Pop", FIRST]
    filed.undo()
    assert filed.ask(LABELS).rows == before
    gone = "MATCH (g:Genre {name: 'Hypnagogic Pop'}) RETURN count(g)"
    assert filed.ask(gone).rows == [[0]]


def test_an_undo_keeps_what_the_audit_proposed_to_replace(filed: Library) -> None:
    one = song(filed)
    write_disputes(filed.connection, [dispute(one)])
    waiting = filed.proposals()
    filed.accept(one, SECOND, replaces=())  # beside it
    filed.undo()
    assert filed.proposals() == waiting
    filed.reject(one, SECOND)
    assert filed.accept(one, SECOND).before == (FIRST,)  # on second thoughts
    filed.undo()
    assert filed.proposals() == waiting


def test_another_genre_settles_a_dispute(filed: Library) -> None:
    one = song(filed)
    write_disputes(filed.connection, [dispute(one)])
    waiting = filed.proposals()
    assert [still_open(filed.connection, each) for each in waiting] == [True]
    filed.accept(one, GENRES[2])
    assert filed.proposals() == []
    assert [still_open(filed.connection, each) for each in waiting] == [False]
    ((decided),) = filed.decisions()
    assert (decided.genre, decided.state, decided.kind) == (GENRES[2], "accepted", "hand")
    assert (decided.was, decided.replaced, decided.filed) == ((FIRST,), (FIRST,), (GENRES[2],))
    filed.undo()
    assert filed.proposals() == waiting
    write_disputes(filed.connection, [])
    assert not still_open(filed.connection, waiting[0])


def test_an_owner_may_confirm_a_label(filed: Library) -> None:
    one = song(filed)
    before = filed.ask(LABELS).rows
    assert filed.accept(one, FIRST).after == (FIRST,)
    assert [(n, own["source"]) for n, own in genres_of(filed, one)] == [(FIRST, "user")]
    filed.accept(one, SECOND)
    filed.undo()
    ((_, own),) = genres_of(filed, one)
    assert (own["source"], own["was"]) == ("user", [FIRST])
    filed.undo()
    assert filed.ask(LABELS).rows == before


def test_bad_decisions_change_nothing(filed: Library) -> None:
    one = song(filed)
    write_disputes(filed.connection, [dispute(one)])
    before = filed.ask(LABELS).rows
    (waiting,) = filed.proposals()
    with pytest.raises(KgError, match="no song of the library"):
        filed.accept("nowhere", SECOND)
    with pytest.raises(WrongUsageError, match="A genre needs a name"):
        filed.accept(one, " ")
    with pytest.raises(KgError, match="no decision to undo about this song"):
        filed.undo(one)
    assert filed.ask(LABELS).rows == before
    filed.accept(one, GENRES[2])
    with pytest.raises(DecidedError, match="meanwhile, not"):
        filed.accept(one, SECOND, proposal=waiting)
    with pytest.raises(DecidedError, match="undo that first"):
        filed.reject(one, GENRES[2])
    with pytest.raises(DecidedError, match="already"):
        filed.accept(one, GENRES[2])
    assert [name for name, _ in genres_of(filed, one)] == [GENRES[2]]
    # What an owner changed with other tools isn't overwritten by an undo.
    filed.connection.write(
        lambda tx: tx.run("MATCH (:Song {id: $id})-[r:IN_GENRE]->() DELETE r", id=one).consume()
    )
    with pytest.raises(KgError, match="filed under no genre since"):
        filed.undo()


def test_of_two_reviewers_one_decides(filed: Library) -> None:
    one = song(filed)
    write_disputes(filed.connection, [dispute(one)])
    (waiting,) = filed.proposals()
    ready, told = Barrier(2), list[Decision | KgError]()

    def decide(genre: str, proposal: Proposal) -> None:
        with Library(filed.settings) as other:
            other.proposals()
            ready.wait(60)
            try:
                told.append(other.accept(one, genre, proposal=proposal))
            except KgError as error:
                told.append(error)

    threads = [Thread(target=decide, args=(genre, waiting)) for genre in (SECOND, GENRES[2])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    refused = [each for each in told if isinstance(each, DecidedError)]
    (done,) = [each for each in told if isinstance(each, Decision)]
    assert len(refused) == 1
    assert "Nothing was changed." in str(refused[0])
    assert [name for name, _ in genres_of(filed, one)] == [*done.after]


def test_names_fit_for_tags_of_files(filed: Library) -> None:
    """What is typed may hold anything; a genre that is there is meant as it is called."""
    one, odd = song(filed), "dub\x1b  <b>"
    odd_words = " acid\n\x1b[31m jazz "
    assert filed.accept(one, odd_words, new=True).after == ("acid [31m jazz",)
    filed.undo()
    with pytest.raises(WrongUsageError, match="needs a name"):
        filed.accept(one, "\x1b\n")
    write_disputes(filed.connection, [dispute(one, genre=odd)])
    (waiting,) = filed.proposals()
    filed.reject(one, waiting.genre, proposal=waiting)
    assert filed.proposals() == []


def test_a_genre_that_nobody_named_may_be_misspelled(filed: Library) -> None:
    one, before = song(filed), filed.ask(LABELS).rows
    wrong = SECOND[:-1]
    with pytest.raises(UnknownGenreError, match=f"did you mean {SECOND}.* --new makes it") as told:
        filed.accept(one, wrong)
    assert told.value.near[0] == SECOND
    with pytest.raises(UnknownGenreError, match=f"did you mean {SECOND}[^-]*$"):
        filed.reject(one, wrong)
    with pytest.raises(UnknownGenreError, match="Zydeco is no genre here: `kg genres`"):
        filed.accept(one, "Zydeco")
    assert filed.ask(LABELS).rows == before
    assert filed.ask(STATES).rows == []
    # Another spelling is the genre that is there, and doesn't make it anew.
    assert filed.accept(one, f" {SECOND.upper()}-").after == (SECOND,)
    filed.undo()
    # What the tree or the owner's policy names is known; what it renames is named.
    filed.write_genre_tree(TreeFile({"Hip-Hop": ("Urban",), "Urban": ()}, ()))
    assert filed.accept(one, "hip hop").after == ("Hip-Hop",)
    filed.undo()
    policy = filed.settings.kg_home / "genre-policy.toml"
    policy.write_text('aliases = {dnb = "Drum & Bass"}\n', encoding="utf-8")
    with pytest.raises(UnknownGenreError, match="dnb is no genre here; did you mean Drum & Bass"):
        filed.accept(one, "dnb")
    assert filed.accept(one, "drum and bass").after == ("Drum & Bass",)
    filed.undo()
    assert filed.accept(one, wrong, new=True).after == (wrong,)
    assert filed.accept(song(filed, 0), wrong.upper()).after == (wrong,)  # it is there now
    filed.undo()
    filed.undo()
    assert filed.ask(LABELS).rows == before
    # What anybody proposes for the song is known, however it is spelled there.
    write_disputes(filed.connection, [dispute(one, genre="Boogie-Woogie")])
    assert filed.reject(one, "boogie woogie").genre == "Boogie-Woogie"
    assert filed.proposals() == []


def test_an_undo_opens_nothing_that_no_audit_proposes(filed: Library) -> None:
    one, two, three = (song(filed, number) for number in range(3))
    write_disputes(filed.connection, [dispute(id) for id in (one, two, three)])
    waiting = {each.song: each for each in filed.proposals()}
    filed.reject(two, SECOND)
    filed.reject(three, SECOND)
    # Another audit takes two of them back, one of them while its owner looks at it.
    write_disputes(filed.connection, [replace(dispute(three), strength=0.7)])
    now = datetime.now(UTC)
    write_audit(filed.connection, replace(LOOKED, created_at=now - timedelta(seconds=1)))
    filed.connection.write(
        lambda tx: tx.run(
            "MATCH (:Song {id: $id})-[p:PROPOSED_GENRE]->() SET p.createdAt = $at",
            id=two,
            at=now - timedelta(hours=1),
        ).consume()
    )
    filed.accept(one, SECOND, proposal=waiting[one])
    for id in (one, two, three):
        filed.undo(id)
    assert [(each.song, each.strength) for each in filed.proposals()] == [(three, 0.7)]
    assert filed.ask(STATES).rows == [[SECOND, "open"]]


def test_of_several_proposals_one_is_named(filed: Library) -> None:
    one = song(filed)
    write_disputes(filed.connection, [dispute(one)])
    more = {"kind": "label", "state": "open", "strength": 0.5, "replaces": [FIRST]}
    filed.connection.write(
        lambda tx: tx.run(
            "MATCH (s:Song {id: $id}) MATCH (g:Genre {name: $genre}) "
            "CREATE (s)-[p:PROPOSED_GENRE]->(g) SET p = $more",
            id=one,
            genre=GENRES[2],
            more=more,
        ).consume()
    )
    for accept in (True, False):
        with pytest.raises(WrongUsageError, match=rf"Several .*\({SECOND}, {GENRES[2]}\): name"):
            decide_all(filed, [Asked(one)], accept=accept)
    done = decide_all(filed, [Asked(one, GENRES[2])], accept=True)
    assert done.decisions[0].after == (GENRES[2],)
