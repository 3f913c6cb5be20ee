"""`kg genres`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import App, json_option, pass_app
from kg.text import printable

if TYPE_CHECKING:
    from kg.genres.listing import GenreList, GenreRow
    from kg.graph.tree import TreeReport

INDENT = "  "


@click.command()
@click.option(
    "--genre-tree",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Say what is a kind of what: a table with the columns name and parent, indented text, or "
    "JSON. Genres that it doesn't name keep their parents.",
)
@click.option("--replace", is_flag=True, help="Take all parents away that FILE doesn't name.")
@json_option
@pass_app
def genres(app: App, file: Path | None, replace: bool, as_json: bool) -> None:
    """Show the genres of the library as a tree, or give it another one.

    The tree is in the graph as (:Genre)-[:SUBGENRE_OF]->(:Genre); no song's genre is changed.
    Spellings of one genre (Hip-Hop, hip hop) are matched, and shown as the library has them.
    docs/genres.md describes the files.

    \b
    Example:
      kg genres
      kg genres --genre-tree my-genres.txt
      kg genres --genre-tree my-genres.csv --replace
    """
    from cli.output import print_json

    if file is None:
        if replace:
            raise click.UsageError("--replace is for --genre-tree FILE: name that too.")
        with app.library() as library:
            found = library.genres()
        if as_json:
            print_json(found)
        else:
            _print_genres(app, found)
        return
    from kg.genres.files import read_tree

    tree = read_tree(file)
    with app.library() as library:
        report = library.write_genre_tree(tree, replace=replace)
    if as_json:
        print_json(report)
    else:
        print_tree_report(app, report)


def print_tree_report(app: App, report: "TreeReport") -> None:
    """Say what a genre tree came to."""
    from kg.genres.files import listed

    click.echo(
        f"The genre tree names {report.genres} genres, {len(report.new)} of them new; the library "
        f"has {report.links} links to parents now."
    )
    if len(report.new) == report.genres:
        app.remark("No genre of the library is among them: is it the right file?")
    if report.renamed:
        pairs = [f"{name} is {own}" for name, own in sorted(report.renamed.items())]
        app.remark(f"Matched with what the library has: {listed(pairs)}.")


def _print_genres(app: App, found: "GenreList") -> None:
    from cli.output import print_table

    if not found.genres:
        click.echo("No genres are in the graph yet: `kg ingest FOLDER` reads them.")
        return
    rows = [
        (
            INDENT * deep + genre.name,
            genre.songs or "",
            genre.with_subgenres if genre.with_subgenres != genre.songs else "",
            genre.predicted or "",
        )
        for deep, genre in _down_the_tree(found)
    ]
    print_table(["genre", "songs", "with subgenres", "predicted first"], rows)
    for spellings in found.alike:
        names = " and ".join(printable(repr(name)) for name in spellings)
        app.remark(f"{names} look like spellings of one genre, and are several in the graph.")


def _down_the_tree(found: "GenreList") -> "list[tuple[int, GenreRow]]":
    """Each genre below its parents; one with several parents comes several times."""
    by_name = {genre.name: genre for genre in found.genres}
    children: dict[str, list[str]] = {}
    for genre in found.genres:
        for parent in genre.parents:
            children.setdefault(parent, []).append(genre.name)
    rows: list[tuple[int, GenreRow]] = []
    left = [(0, genre.name) for genre in reversed(found.genres) if not genre.parents]
    while left:
        deep, name = left.pop()
        rows.append((deep, by_name[name]))
        left += [(deep + 1, child) for child in reversed(children.get(name, ()))]
    return rows
