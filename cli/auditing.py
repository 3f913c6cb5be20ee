"""`kg audit`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cli.options import App, json_option, pass_app

if TYPE_CHECKING:
    from kg.audit.audit import AuditReport, LabelAudit
    from kg.audit.evidence import DisputedSong
    from kg.audit.spread import SpreadArtist


@click.command()
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=15,
    show_default=True,
    help="Findings of each kind that are shown; --json has all of them.",
)
@json_option
@pass_app
def audit(app: App, top: int, as_json: bool) -> None:
    """Find what is probably wrong: labels, and artists whose songs are spread over genres.

    Every song with a genre is told by a model that learned none of its artist's songs, and weighed
    against the artist's other songs. Where hardly anything speaks for what it is filed under,
    another genre is proposed, (:Song)-[:PROPOSED_GENRE]->(:Genre), for you to accept or reject;
    nothing else changes. Many of these labels are right all the same: a model has no last word.
    Running it again replaces what was proposed and isn't decided.

    \b
    Example:
      kg audit
      kg audit --json > findings.json
    """
    from cli.output import print_json

    with app.library() as library:
        report = library.audit()
    if as_json:
        print_json(report)
        return
    _print(app, report, top)


def _print(app: App, report: "AuditReport", top: int) -> None:
    if report.labels is not None:
        _print_labels(app, report.labels, top)
    if report.why_not_labels is not None:
        app.remark(report.why_not_labels)
    _print_artists(app, report.artists, top)


def _print_labels(app: App, labels: "LabelAudit", top: int) -> None:
    from cli.output import print_table

    found = labels.songs
    share = f"{100 * labels.agreeing:.0f} %"
    app.remark(
        f"{labels.judged} labels judged by {labels.model} on other artists' songs, which agrees "
        f"with {share} of them."
    )
    if found:
        click.echo(f"Labels that are probably wrong: {len(found)}")
        print_table(
            ["song", "filed under", "probably", "evidence"],
            [
                (_title(song), ", ".join(song.filed), _proposed(song), song.evidence)
                for song in found[:top]
            ],
        )
        click.echo(f"{labels.cypher}\n")
    else:
        click.echo("No label is probably wrong.")
    for why, count in labels.unjudged.items():
        app.remark(f"Songs {why} couldn't be judged: {count}.")
    if labels.rejected:
        app.remark(f"Songs whose label you kept before, or changed meanwhile: {labels.rejected}.")
    _more(app, len(found), top)


def _print_artists(app: App, artists: "Sequence[SpreadArtist]", top: int) -> None:
    from cli.output import print_table

    if not artists:
        return
    click.echo(f"Artists spread over genres: {len(artists)}")
    print_table(
        ["artist", "genres as if evenly", "songs"],
        [(each.artist, f"{each.spread:.1f}", each.words) for each in artists[:top]],
    )
    click.echo(f"{artists[0].cypher}\n")
    _more(app, len(artists), top)


def _more(app: App, count: int, top: int) -> None:
    if count > top:
        app.remark(f"The first {top} are shown; --top shows more, --json all {count}.")


def _title(song: "DisputedSong") -> str:
    from kg.wording import title

    return title(song.title or song.path or song.id, song.artist)


def _proposed(song: "DisputedSong") -> str:
    from cli.output import percent

    sure = percent(song.probability)
    if song.kind == "missing":
        return f"{song.genre} as well, {sure}"
    if song.kind == "extra":
        return f"not {', '.join(song.replaces)}, {sure}"
    return f"{song.genre}, {sure}"
