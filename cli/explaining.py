"""`kg explain` and `kg similar`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import App, json_option, pass_app, policy_option
from kg.text import printable

if TYPE_CHECKING:
    from kg.asking.explaining import Explanation, GenreExplained


@click.command()
@click.argument("song")
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Pieces of evidence that are shown for each genre; --json has all of them.",
)
@json_option
@pass_app
def explain(app: App, song: str, top: int, as_json: bool) -> None:
    """Say why a song has its first two predicted genres.

    SONG is a title, a path, or an id (four digits are enough). What a piece of evidence is worth is
    measured: the song is scored again without it. Strength is its share of all that the song's
    neighbours in the graph say for the genre and against it. A jazz song may come out as speaking
    against jazz: it speaks for it less than the other similar songs, which count for more without
    it. The Cypher below each table shows the same paths in the graph.

    \b
    Example:
      kg explain "So What"
      kg explain ~/Music/jazz/so-what.mp3 --json
    """
    from cli.output import print_json

    with app.library() as library:
        found = library.explain(song, named=top)
    if as_json:
        print_json(found)
        return
    _print_explanation(app, found)


@click.command()
@click.argument("song")
@click.option(
    "-n",
    "most",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="How many songs.",
)
@policy_option
@json_option
@pass_app
def similar(app: App, song: str, most: int, genre_policy: Path | None, as_json: bool) -> None:
    """Find songs like a song, and say what they share with it.

    SONG is a title, a path, or an id (four digits are enough). Songs are compared as the model sees
    them: it has learned which sounds make a difference between your genres, and hears what a song's
    neighbours in the graph are. SIMILAR_TO, which `kg query` can ask for, knows nothing of genres:
    it links the ten songs whose sound is nearest. Without a model songs are found by that. Songs
    that came after the last `kg train` or `kg predict` are not among the answers.

    \b
    Example:
      kg similar "So What" -n 20
    """
    from cli.output import print_json, print_table
    from kg.asking.wording import title

    with app.library(genre_policy) as library:
        found = library.similar(song, most)
    if as_json:
        print_json(found)
        return
    click.echo(printable(f"Songs like {title(found.title, found.artist)}"))
    print_table(
        ["similarity", "song", "what they share"],
        [(f"{s.similarity:.2f}", title(s.title, s.artist), s.words) for s in found.songs],
    )
    _print_cypher(found.cypher)
    if found.why_not_embedding is not None:
        app.remark(f"By sound alone (SIMILAR_TO). {found.why_not_embedding}")
    if len(found.songs) < most:
        of = "that are linked with it" if found.why_not_embedding else "that the model has seen"
        app.remark(f"There are no more songs {of}.")


def _print_explanation(app: App, found: "Explanation") -> None:
    from kg.asking.wording import title

    owner = f" Filed under {', '.join(found.genres)}." if found.genres else ""
    unknown = f" Unknown to the model ({found.doubt}); its guesses:" if found.doubt else ""
    click.echo(printable(f"{title(found.title, found.artist)}.{owner}{unknown}"))
    for told in found.explained:
        _print_genre(told)
    if any(piece.contribution < 0 for told in found.explained for piece in told.named):
        app.remark("Strength below 0: it speaks against the genre.")


def _print_genre(told: "GenreExplained") -> None:
    from cli.output import percent, print_table

    nothing = "" if told.named else ": it has no neighbours in the graph"
    click.echo(printable(f"Why {told.genre}, {percent(told.probability)}{nothing}"))
    if told.named:
        print_table(
            ["strength", "evidence", "path"],
            [
                (f"{100 * each.share:+.0f} %", each.words, f"{each.relationship} {_end(each.key)}")
                for each in told.named
            ],
        )
    for sentence in told.summary:
        click.echo(printable(sentence))
    _print_cypher(told.cypher)


def _end(key: str) -> str:
    """A song's id as short as it may be typed, and other keys as they are."""
    return key if len(key) < 32 else key[:12]


def _print_cypher(cypher: str) -> None:
    click.echo(f"\n{cypher}\n")
