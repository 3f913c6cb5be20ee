"""`kg demo`: the whole product on music it makes itself, each command shown with what it prints."""

import shlex
import shutil
import time
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import click

from cli.options import App, pass_app

if TYPE_CHECKING:
    from kg.library import Library

SONGS = 100
SECONDS = 10.0
MARKER = ".kg-demo"
# The library's clips are made from this seed; the unseen ones from others.
SEED, UNSEEN_SEEDS = 0, (1001, 1002)

QUERIES = {
    "Which genres does the owner's library hold?": """
        MATCH (s:Song)-[:IN_GENRE]->(g:Genre)
        RETURN g.name AS genre, count(s) AS songs, count(DISTINCT s.artist) AS artists
        ORDER BY genre""",
    "Why these genres? What the two new songs sound like, in the graph:": """
        MATCH (s:Song)-[near:SIMILAR_TO]->(other:Song)-[:IN_GENRE]->(g:Genre)
        WHERE NOT EXISTS { (s)-[:IN_GENRE]->(:Genre) }
        RETURN s.title AS song, g.name AS genre, count(other) AS neighbours,
               avg(near.weight) AS similarity
        ORDER BY song, neighbours DESC""",
    "Which songs would a listener doubt? The model is least sure of these:": """
        MATCH (s:Song)-[p:PREDICTED_GENRE {rank: 1}]->(g:Genre)
        OPTIONAL MATCH (s)-[:IN_GENRE]->(said:Genre)
        RETURN s.title AS song, said.name AS owner, g.name AS model, p.probability AS probability
        ORDER BY probability LIMIT 5""",
}


@click.command()
@pass_app
def demo(app: App) -> None:
    """Show everything on music made on the spot: ingest, train, add, ask.

    Takes about a minute, needs no files, has a home folder of its own and can be run again.

    \b
    Example:
      kg demo
    """
    from kg import Library

    settings = app.settings()
    home = settings.kg_home / "demo"
    started = time.monotonic()
    _clear(home)
    click.echo(f"The demo lies in {home} (KG_HOME below) and touches nothing else.")
    if not settings.embedded:
        click.echo("NEO4J_URI is left alone: the demo uses the embedded server.")

    own = replace(app, home=home, embedded=True)
    with Library.open(home, neo4j_uri=None) as library:
        (home / MARKER).touch()
        _play(own, home, library)
    click.echo()
    click.echo(f"Done in {time.monotonic() - started:.0f} s. To look around in it:")
    click.echo(f"  export KG_HOME={shlex.quote(str(home))}")
    click.echo('  kg query "MATCH (s:Song)-[r]->(n) RETURN s.title, type(r), labels(n) LIMIT 10"')
    click.echo("With your own music: unset KG_HOME; kg ingest ~/Music && kg train")


def _play(app: App, home: Path, library: "Library") -> None:
    from cli.asking import query
    from cli.ingesting import ingest
    from cli.learning import train
    from cli.library import add
    from kg.audio.synth import GENRES, write_library, write_song

    music = home / "music"
    _say(f"{SONGS} clips of {SECONDS:.0f} s in {len(GENRES)} made-up genres: {', '.join(GENRES)}")
    write_library(music, songs=SONGS, seconds=SECONDS, seed=SEED)
    # Held open, so that the server doesn't stop and start between the commands.
    library.connection  # noqa: B018

    _say("Listen, cluster, find similar songs, write the graph:")
    _run(app, ingest, str(music))
    _say("Learn from the genres, measure on artists held out, predict for every song:")
    _run(app, train)
    click.echo(
        "Synthetic genres are easy to tell apart: these numbers show that the parts work "
        "together and claim nothing about real music."
    )
    unseen = []
    for seed, genre in zip(UNSEEN_SEEDS, (GENRES[0], GENRES[-1]), strict=True):
        path = home / "new" / f"unseen-{genre}.flac"
        write_song(path, genre, seconds=SECONDS, seed=seed)
        unseen.append(str(path))
    _say("Two clips the model has never heard, without retraining:")
    _run(app, add, *unseen)
    for question, cypher in QUERIES.items():
        _say(question)
        _run(app, query, dedent(cypher).strip())


def _say(text: str) -> None:
    click.echo()
    click.secho(text, bold=True)


def _run(app: App, command: click.Command, *arguments: str) -> None:
    """Print a command and run it, the way the shell would."""
    click.secho(f"$ kg {shlex.join([str(command.name), *arguments])}", fg="cyan")
    code = command.main(
        list(arguments), prog_name=f"kg {command.name}", standalone_mode=False, obj=app
    )
    if code:
        raise click.exceptions.Exit(int(code))


def _clear(home: Path) -> None:
    """Begin anew: take away what an earlier demo left, and only that."""
    from kg.errors import KgError
    from kg.graph import embedded

    if not home.exists():
        return
    if any(home.iterdir()) and not (home / MARKER).exists():
        raise KgError(f"{home} was not made by `kg demo`: move it away, or choose another --home.")
    if embedded.stop(home / "server").running:
        raise KgError(f"Another kg command is using the demo in {home}: let it finish first.")
    shutil.rmtree(home)
