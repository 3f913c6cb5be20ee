"""A report from beginning to end: facts from the graph, put in words, written as one file."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from kg._version import __version__
from kg.errors import KgError, WrongUsageError
from kg.files import normal
from kg.outputs import appearing, check_target
from kg.report import certainty, collection, compared, curve, model, song_map, songs
from kg.report.facts import Facts, gather
from kg.report.parts import Missing, Report, Section
from kg.report.words import count, day, percent
from kg.text import printable

if TYPE_CHECKING:
    from kg.library import Library

Format = Literal["html", "md"]

SUFFIXES: Final[dict[str, Format]] = {
    ".html": "html",
    ".htm": "html",
    ".md": "md",
    ".markdown": "md",
}
# What a report begins with, so that a newer one may take its place: see the page and `markdown`.
MARKS: Final = (b'<meta name="generator" content="kg report">', b"<!-- kg report -->")

SECTIONS: Final[tuple[Callable[[Facts], Section], ...]] = (
    collection.library,
    song_map.song_map,
    collection.split,
    model.accuracy,
    model.by_genre,
    model.confusions,
    certainty.reliability,
    certainty.coverage,
    model.learning,
    curve.learning_curve,
    compared.compared,
    songs.doubted,
    songs.disputed,
    songs.artists,
    songs.copies,
    songs.sound,
)


@dataclass(frozen=True, slots=True)
class Written:
    """A report that was written.

    Attributes:
        path: Where it is.
        format: `html` or `md`.
        bytes: How large it is.
        missing: Sections for which something has to be run first.
    """

    path: Path
    format: Format
    bytes: int
    missing: tuple[str, ...]


def write_report(
    library: "Library", file: str | Path, format: Format | None = None, *, force: bool = False
) -> Written:
    """Write a report into a file, whole or not at all.

    Args:
        library: What it is about.
        file: Where to.
        format: `html` or `md`; None: what its suffix says.
        force: Replace a file that is there and no report.

    Raises:
        WrongUsageError: nothing can be written there, its suffix says no format, or what is there
            is somebody else's or can't be read.
        NotReadyError: there are no songs.
        KgError: the file can't be written.
    """
    file = normal(Path(file))
    chosen = format or SUFFIXES.get(file.suffix.lower())
    if chosen is None:
        raise WrongUsageError(
            f"{printable(file)} says no format: name a file that ends in .html or .md, or choose "
            "one with --format."
        )
    path = check_target(file, "the report")
    if path.exists() and not force and not _is_report(path):
        raise WrongUsageError(
            f"{printable(path)} is there already and is no report, so it is left alone: choose "
            "another name, or --force."
        )
    report = compose(gather(library))
    text = render(report, chosen).encode("utf-8", "backslashreplace")
    try:
        with appearing(path) as target:
            target.write(text)
    except OSError as error:
        raise KgError(f"{printable(path)} can't be written ({error.strerror}).") from error
    return Written(path, chosen, len(text), tuple(_missing(report)))


def compose(facts: Facts) -> Report:
    """Put facts in words."""
    made = datetime.now(UTC).astimezone()
    server = facts.status.server
    return Report(
        made=f"{day(made)}, {made:%H:%M}",
        summary=_summary(facts),
        sections=[section(facts) for section in SECTIONS],
        about=f"Made by kg {__version__} from {server.kind} {server.version}, features of version "
        f"{facts.status.feature_version}. All numbers are in the graph, where Cypher shows them.",
        remarks=_remarks(facts),
    )


def render(report: Report, format: Format) -> str:
    """Write a report out."""
    if format == "md":
        from kg.report.markdown import markdown

        return markdown(report)
    from kg.report.page import page

    return page(report)


def _summary(facts: Facts) -> str:
    genres = {name for song in facts.songs for name in song.genres}
    filed = f"in {count(len(genres), 'genre')}" if genres else "without a genre"
    said = f"{count(len(facts.songs), 'song')} {filed}"
    measured = model.measured_on_test(facts)
    if facts.model is None:
        return f"{said}. {facts.unlearned}"
    if measured is None:
        return f"{said}; a model predicts genres, and nobody measured how well."
    found = measured.scores[0].accuracy
    return (
        f"{said}. The model's first genre is right for {percent(found.value)} of "
        f"{count(measured.songs, 'song')} that it never heard (95 % interval: {percent(found.low)} "
        f"to {percent(found.high)})."
    )


def _remarks(facts: Facts) -> list[str]:
    """What is out of date; that nothing was learned the summary says already."""
    busy = ["Another command wrote to the graph meanwhile: make the report again when it is done."]
    stale = [] if facts.model is None else facts.status.stale
    return [*(busy if facts.status.busy else []), *stale]


def _missing(report: Report) -> list[str]:
    return [
        section.title
        for section in report.sections
        if any(isinstance(part, Missing) for part in section.parts)
    ]


def _is_report(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(400)
    except OSError as error:
        raise WrongUsageError(
            f"{printable(path)} is there already and can't be read ({error.strerror}): choose "
            "another name, or --force."
        ) from error
    return not head or any(mark in head for mark in MARKS)
