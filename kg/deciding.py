"""Many decisions at once, as scripts make them; each stands by itself."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kg.errors import GraphError, KgError, WrongUsageError
from kg.text import printable

if TYPE_CHECKING:
    from kg.graph.proposals import Decision, Proposal
    from kg.library import Library


@dataclass(frozen=True, slots=True)
class Asked:
    """A song to decide about.

    Attributes:
        song: Its title, path, or id.
        genre: None: whichever is proposed for it.
        line: Where it was read; None: on the command line.
    """

    song: str
    genre: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A decision that wasn't made, and why."""

    song: str
    genre: str | None
    line: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class DecisionsReport:
    """What was decided, and what wasn't."""

    decisions: "Sequence[Decision]"
    refused: Sequence[Refused]


def read_asked(lines: Iterable[str], genre: str | None = None) -> list[Asked]:
    """Songs one a line, each with its genre behind a tab where it has one of its own.

    Empty lines are left out.
    """
    found = []
    for number, line in enumerate(lines, start=1):
        song, _, own = line.strip("\r\n").partition("\t")
        if song.strip():  # a title may begin with # too
            found.append(Asked(song.strip(), own.strip() or genre, number))
    return found


def decide_all(
    library: "Library",
    asked: Sequence[Asked],
    *,
    accept: bool,
    beside: bool = False,
    new: bool = False,
) -> DecisionsReport:
    """Accept genres, or reject them, one after the other.

    Args:
        library: Whose songs they are.
        asked: Songs and genres.
        accept: Which of both.
        beside: An accepted genre joins the song's other ones.
        new: An accepted genre may be one that nobody has named so far.

    Raises:
        KgError: the only one that was asked about, on the command line, can't be decided.
        GraphError: the database can't be reached.
    """
    proposed: dict[str, list[Proposal]] = {}
    if any(each.genre is None for each in asked):
        for each in library.proposals():
            proposed.setdefault(each.song, []).append(each)

    def decide(one: Asked) -> "Decision":
        proposal = None
        if one.genre is None:
            proposal = _proposed(library, one.song, proposed)
        genre = one.genre if proposal is None else proposal.genre
        assert genre is not None
        song = one.song if proposal is None else proposal.song
        if not accept:
            return library.reject(song, genre, proposal=proposal)
        replaces = () if beside else None
        return library.accept(song, genre, replaces=replaces, proposal=proposal, new=new)

    return _each(asked, decide)


def undo_all(library: "Library", asked: Sequence[Asked]) -> DecisionsReport:
    """Take back the last decision about each of these songs.

    Raises:
        KgError: the only one that was asked about, on the command line, can't be undone.
        GraphError: the database can't be reached.
    """
    return _each(asked, lambda one: library.undo(one.song))


def _each(asked: Sequence[Asked], decide: "Callable[[Asked], Decision]") -> DecisionsReport:
    decisions: list[Decision] = []
    refused: list[Refused] = []
    for one in asked:
        try:
            decisions.append(decide(one))
        except GraphError:
            raise
        except KgError as error:
            if one.line is None:
                raise
            refused.append(Refused(one.song, one.genre, one.line, str(error)))
    return DecisionsReport(decisions, refused)


def _proposed(
    library: "Library", song: str, proposed: "Mapping[str, Sequence[Proposal]]"
) -> "Proposal":
    from kg.graph.lookup import find_song

    found = proposed.get(find_song(library.connection, song), ())
    if not found:
        raise WrongUsageError(
            printable(f"No genre is proposed for {song!r}: name the one that you mean.")
        )
    if len(found) > 1:
        genres = ", ".join(each.genre for each in found)
        raise WrongUsageError(
            printable(
                f"Several genres are proposed for {song!r} ({genres}): name the one that you mean."
            )
        )
    return found[0]
