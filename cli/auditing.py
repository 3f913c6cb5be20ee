"""`kg audit`."""

from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from cli.options import App, json_option, pass_app

if TYPE_CHECKING:
    from kg.audit.audit import AuditReport, LabelAudit
    from kg.audit.evidence import DisputedSong


class _Finding(Protocol):
    """What every finding has."""

    @property
    def cypher(self) -> str: ...


F = TypeVar("F", bound=_Finding)


@click.command()
@click.option(
    "--listen",
    is_flag=True,
    help="Listen first to songs whose sound nobody has looked at, as an older kg took them in.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="With --listen: processes that listen; default: one a core.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Findings of each kind that are shown; --json has all of them.",
)
@json_option
@pass_app
def audit(app: App, listen: bool, workers: int | None, top: int, as_json: bool) -> None:
    """Find what may be wrong: labels, artists all over genres, copies, broken sound.

    Every song with a genre is told by a model that learned none of its artist's songs, and weighed
    against the artist's other songs. Where another genre is 20 times as probable as what a song is
    filed under, that one is proposed, (:Song)-[:PROPOSED_GENRE]->(:Genre), for you to accept or
    reject. Copies of one recording, in other encodings, cut, higher or faster, are linked by
    (:Song)-[:SAME_RECORDING]->(:Song). No label and no file changes; running it again replaces what
    was found before, but not what you decided.

    Many a disputed label is right all the same, and an artist may play many genres: a finding is a
    reason to look. The Cypher below a table shows its first finding in the graph, and that below
    the labels all of them; --json has one of each.

    \b
    Example:
      kg audit
      kg audit --json > findings.json
    """
    from cli.output import print_json

    if workers is not None and not listen:
        raise click.UsageError("--workers listen: give --listen too.")
    with app.library() as library:
        report = library.audit(listen=listen, workers=workers)
    if as_json:
        print_json(report)
    else:
        _print(app, report, top)


def _print(app: App, report: "AuditReport", top: int) -> None:
    if report.labels is not None:
        _print_labels(app, report.labels, top)
    if report.why_not_labels is not None:
        app.remark(report.why_not_labels)
    _print_found(
        app,
        "Artists spread over genres",
        ("artist", "genres as if evenly", "songs"),
        report.artists,
        lambda each: (each.artist, f"{each.spread:.1f}", each.words),
        top,
    )
    _print_found(
        app,
        "Songs that are one recording",
        ("song", "other song", "evidence"),
        report.copies,
        # Copies have the same title mostly: their files tell them apart.
        lambda each: (
            each.paths[0] or each.titles[0] or each.song,
            each.paths[1] or each.titles[1] or each.other,
            each.evidence,
        ),
        top,
    )
    _print_found(
        app,
        "Songs in several files of the same bytes",
        ("song", "files"),
        report.files,
        lambda each: (_title(each.title, each.artist, each.song), ", ".join(each.paths)),
        top,
    )
    _print_found(
        app,
        "Songs whose sound may be broken",
        _with_file(("song", "", "evidence")),
        report.faults,
        lambda each: (
            *_song(each.title, each.artist, each.path, each.song),
            each.kind,
            each.evidence,
        ),
        top,
    )
    if report.deaf:
        app.remark(f"Songs whose files are gone or can't be heard: {report.deaf}.")
    elif report.unheard:
        app.remark(
            f"Nobody has looked at the sound of {report.unheard} songs, which an older kg took in: "
            "`kg audit --listen` does."
        )


def _print_labels(app: App, labels: "LabelAudit", top: int) -> None:
    others = "the other songs" if labels.nameless == labels.judged else "other artists' songs"
    app.remark(
        f"{labels.judged} songs told by {labels.model} on {others}: it agrees with the labels of "
        f"{100 * labels.agreeing:.0f} %."
    )
    if labels.nameless:
        app.remark(
            f"Nobody knows who {labels.nameless} of them are by: their own artists' songs may have "
            "told these."
        )
    _print_found(
        app,
        "Labels in doubt",
        _with_file(("song", "filed under", "proposed", "evidence")),
        labels.songs,
        lambda each: (
            *_song(each.title, each.artist, each.path, each.id),
            ", ".join(each.filed),
            _proposed(each),
            each.evidence,
        ),
        top,
        labels.cypher,
    )
    if not labels.songs:
        click.echo("No label is in doubt.")
    for why, count in labels.unjudged.items():
        app.remark(f"Songs {why} couldn't be judged: {count}.")
    if labels.kept:
        app.remark(f"Songs whose label you kept before, or changed meanwhile: {labels.kept}.")


def _print_found(
    app: App,
    what: str,
    columns: Sequence[str],
    found: Sequence[F],
    row: Callable[[F], Sequence[Any]],
    top: int,
    cypher: str | None = None,
) -> None:
    """A table of the first findings of a kind, and Cypher: that of the very first unless given."""
    from cli.output import print_table

    if not found:
        return
    print_table(columns, [row(each) for each in found[:top]], title=f"{what}: {len(found)}")
    click.echo(f"{cypher or found[0].cypher}\n")
    if len(found) > top:
        app.remark(f"The first {top} of {len(found)} are shown; --top shows more, --json all.")


def _title(title: str | None, artist: str | None, otherwise: str) -> str:
    from kg.asking.wording import title as in_words

    return in_words(title or otherwise, artist)


def _with_file(columns: Sequence[str]) -> Sequence[str]:
    """Columns of a table whose first is a song: in a pipe with its file beside it."""
    from cli.output import terminal_width

    first, *others = columns
    return columns if terminal_width() else (first, "file", *others)


def _song(title: str | None, artist: str | None, path: str | None, id: str) -> Sequence[Any]:
    """A song's cells: on a terminal the end of its path stands below its title."""
    from cli.output import Stacked, shortened, terminal_width

    width = terminal_width()
    if width is None:
        return _title(title, artist, path or id), path or ""
    end = shortened(path, 2 * width // 3) if path else ""
    # Without a title of its own it has its file's name.
    named = title is not None and (path is None or title != PurePath(path).stem)
    name = _title(title, artist, id) if named or not path else ""
    return (Stacked([line for line in (name, end) if line]),)


def _proposed(song: "DisputedSong") -> str:
    from cli.output import percent

    sure = percent(song.probability)
    if song.kind == "missing":
        return f"{song.genre} as well, {sure}"
    if song.kind == "extra":
        return f"not {', '.join(song.replaces)}, {sure}"
    return f"{song.genre}, {sure}"
