"""`kg suggest-genres`."""

from pathlib import Path

import click

from cli.options import App, json_option, pass_app, policy_option

# Songs that are shown; --json has them all.
SHOWN = 20


@click.command("suggest-genres")
@click.option("--all", "everything", is_flag=True, help="Also for songs that have a genre.")
@click.option("--clear", is_flag=True, help="Take all suggestions away instead.")
@policy_option
@json_option
@pass_app
def suggest_genres(
    app: App, everything: bool, clear: bool, genre_policy: Path | None, as_json: bool
) -> None:
    """Suggest genres by what a network hears, for songs without one; no label is touched.

    Needs a library that musicnn listened to (`kg ingest FOLDER --embedding musicnn`). Suggestions
    are relationships of their own, (:Song)-[:SUGGESTED_GENRE]->(:Genre): nothing learns from them.
    The network was trained on popular music: it has no word for classical music or reggae.

    \b
    Example:
      kg suggest-genres
    """
    from cli.output import print_json, print_table

    if clear and (everything or as_json):
        raise click.UsageError("--clear takes suggestions away: leave the other options out.")
    with app.library(genre_policy) as library:
        if clear:
            library.forget_suggestions()
            app.remark("All suggestions are gone; labels are as they were.")
            return
        report = library.suggest_genres(labelled_too=everything)
    if as_json:
        print_json(report)
        return
    if report.songs:
        rows = [
            (
                song.title or song.path or song.id,
                ", ".join(f"{told.genre} {told.weight:.2f}" for told in song.suggestions),
            )
            for song in report.songs[:SHOWN]
        ]
        print_table(["song", "suggested (strength of the tag)"], rows)
    if len(report.songs) > SHOWN:
        app.remark(
            f"{len(report.songs)} songs got suggestions; the first {SHOWN} are shown. All: --json, "
            "or MATCH (s:Song)-[r:SUGGESTED_GENRE]->(g:Genre) in Cypher."
        )
    if report.untold:
        app.remark(f"Songs whose tags name no genre: {report.untold}.")
    if report.labelled:
        app.remark(
            f"Songs that have a genre were left as they are: {report.labelled}. --all suggests for "
            "these too."
        )
    app.remark(
        "These are suggestions by sound alone, from 0 to 1 and no probabilities; labels are as "
        "they were."
    )
