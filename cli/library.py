"""`kg add`, `kg status`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.learning import RULES, UNCALIBRATED
from cli.listening import heard_with, trust_option
from cli.options import App, json_option, pass_app, policy_option, strict_option
from cli.table_report import given_by

if TYPE_CHECKING:
    from kg.graph.audits import LastAudit
    from kg.learning.ageing import Ageing
    from kg.splits.protocol import SplitRule

# Relationships that are named where there are any.
_SELDOM = (
    *("HAS_TAG", "SUGGESTED_GENRE", "PROPOSED_GENRE", "SAME_RECORDING"),
    *("SUBGENRE_OF", "BY", "ON", "CONTAINS"),
)


@click.command()
@click.argument("songs", nargs=-1, required=True, type=click.Path())
@trust_option
@policy_option
@strict_option
@json_option
@pass_app
def add(
    app: App,
    songs: tuple[str, ...],
    trust_remote_code: bool,
    genre_policy: Path | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Add new songs and tell their genres, without retraining.

    No other song is changed, and few are looked at, so that a large library takes hardly longer. A
    folder at once takes less than its songs one by one.

    \b
    Example:
      kg add new-song.mp3
      kg add new-album/
      kg add new-song.mp3 --genre-policy my-genres.toml
    """
    from cli.output import doubted, print_json, print_rejected, print_table

    with app.library(genre_policy) as library:
        report = library.add(songs, trust_remote_code=trust_remote_code)
    print_rejected(report.rejected, report.rejected_by_reason, report.rejects_file, report.unlisted)
    if as_json:
        print_json(report)
    elif report.added:
        rows = [
            (
                song.title,
                doubted(song.guesses, song.verdict.doubt if song.verdict else None),
                song.path.name if song.path else "",
            )
            for song in report.added
        ]
        print_table(["song", "genres", "file"], rows)
    if report.without_model:
        app.remark(report.without_model)
    if not report.calibrated:
        app.remark(UNCALIBRATED)
    if not report.added or (strict and report.rejected):
        raise click.exceptions.Exit(1)


@click.command()
@json_option
@pass_app
def status(app: App, as_json: bool) -> None:
    """Show what is in the graph, which model speaks, what is out of date.

    \b
    Example:
      kg status
    """
    from cli.output import local, print_json, print_table, show
    from kg.excerpt import in_words
    from kg.learning.doubt import is_calibrated

    with app.library() as library:
        found = library.status()
    if as_json:
        print_json(found)
        return
    counts, model = found.counts, found.model
    uncalibrated = "" if model is None or is_calibrated(model.metrics) else ", uncalibrated"
    rows: list[tuple[str, object]] = [
        ("server", f"{found.server.kind} {found.server.version} at {found.server.uri}"),
        ("songs", f"{counts.songs} ({counts.labelled} with a genre)"),
        ("genres", counts.genres),
        ("feature clusters", counts.clusters),
        *(
            (name, count)
            for name, count in counts.relationships.items()
            if count or name not in _SELDOM
        ),
        ("features", found.feature_version or "none yet"),
        *([("listened to", in_words(found.excerpt))] if found.excerpt is not None else []),
        *(given_by(found) if found.given else heard_with(found.embeddings)),
        *([("files left out", found.rejected)] if found.rejected else []),
        *([("split", _split(found.split))] if found.split is not None else []),
        ("models", counts.models),
        *([_added(found.ageing)] if found.ageing is not None and found.ageing.added else []),
        *([("audited", _audited(found.audit))] if counts.songs else []),
    ]
    if model is not None:
        rows.append(
            (
                "current model",
                f"{model.id} ({model.state}{uncalibrated}, {local(model.created_at)})",
            )
        )
        if model.metrics.get("genreLevel", "given") != "given":
            rows.append(("genres it learned", f"level {model.metrics['genreLevel']} of the tree"))
        if counts.unknown:
            rows.append(("songs it calls unknown", counts.unknown))
        if "accuracy" in model.metrics:
            tested = model.metrics["testSongs"]
            rows.append(
                ("test accuracy", f"{model.metrics['accuracy']:.3f} on {tested} songs held out")
            )
    rows.extend((name, str(path)) for name, path in found.paths.items())
    print_table(["", ""], [(name, show(value)) for name, value in rows], header=False)
    for line in found.stale:
        click.echo(f"! {line}")
    if found.busy:
        click.echo("A kg command works on this graph right now: ask again when it is done.")
    elif not found.stale:
        click.echo("Everything is up to date.")


def _added(ageing: "Ageing") -> tuple[str, str]:
    """What was added since the training, and whether it sounds like the others."""
    one = ageing.added == 1
    told = f"{ageing.added} song{'' if one else 's'} ({100 * ageing.share:.1f} %)"
    if ageing.drift is not None:
        told += f", {'sounds' if one else 'sound'} {'un' if ageing.drifted else ''}like the others"
    since = "training" if ageing.since == "training" else "last ingest"
    return f"added since the {since}", told


def _audited(audit: "LastAudit | None") -> str:
    """When the last audit ran, on what, what it found, and what has changed since."""
    from cli.output import local

    if audit is None:
        return "not yet: `kg audit` looks for wrong labels, copies and broken sound"
    found = (
        ("labels in doubt", audit.disputed),
        ("artists spread over genres", audit.artists),
        ("pairs of one recording", audit.copies),
        ("songs in several files", audit.files),
        ("faults of sound", audit.faults),
    )
    told = ", ".join(f"{what}: {count}" for what, count in found if count)
    deaf = f", without the sound of {audit.unheard}" if audit.unheard else ""
    since = f"; since then {', '.join(audit.since)}" if audit.since else ""
    since += ": run it again" if audit.outdated else ""
    return f"{local(audit.created_at)}, {audit.songs} songs{deaf}; {told or 'nothing found'}{since}"


def _split(rule: "SplitRule") -> str:
    """Say by which rule songs are split; `kg train` counts those whose artist nobody knows."""
    unknown = ", songs without an artist one by one" if rule.protocol == "artist" else ""
    return RULES[rule.protocol] + unknown
