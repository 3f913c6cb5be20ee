"""A genre tree in a file of the owner's: a table, indented text, or JSON; docs/genres.md."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from kg.errors import WrongUsageError
from kg.files import expanded, open_file, why_unreadable
from kg.genres.names import genre_key
from kg.genres.tree import Parents, check_no_cycle
from kg.text import printable

LARGEST: Final = 16 << 20
_NAMES: Final = ("name", "genre", "title")
_IDS: Final = ("genre_id", "id")
_ROOT: Final = ("", "0")  # FMA's for no parent


@dataclass(frozen=True, slots=True)
class TreeFile:
    """What a file says of genres.

    Attributes:
        parents: The tree.
        unlisted: Parents that have no line of their own; the library must have them.
    """

    parents: Parents
    unlisted: Sequence[str]


def read_tree(file: Path | str) -> TreeFile:
    """Read a genre tree.

    Args:
        file: `.csv` or `.tsv` with the columns `name` and `parent` (a row for each parent; FMA's
            `genres.csv`, whose parents are ids, too); `.json` with genres in genres; or text with
            a genre a line, each further in than its parent.

    Raises:
        WrongUsageError: there is no such file, it holds no genre tree, or it goes in a circle.
    """
    path = expanded(file)
    name = printable(path)
    text = read_text(path, "the genre tree")
    ending = path.suffix.lower()
    if not text.strip():
        raise WrongUsageError(f"{name} is empty: write a genre a line, further in than its parent.")
    if ending == ".json":
        pairs = list(_from_json(text, name))
    elif ending in (".csv", ".tsv"):
        pairs = list(_from_table(text, name, "\t" if ending == ".tsv" else ","))
    else:
        pairs = list(_from_lines(text, name))
    parents: dict[str, list[str]] = {}
    for genre, parent in pairs:
        above = parents.setdefault(genre, [])
        if parent and parent not in above:
            above.append(parent)
    if not parents:
        raise WrongUsageError(f"{name} names no genre.")
    check_no_cycle(parents)
    unlisted = {parent for above in parents.values() for parent in above} - parents.keys()
    return TreeFile(parents, sorted(unlisted))


def refuse_unknown(tree: TreeFile, known: Iterable[str]) -> None:
    """Refuse a tree with a parent that nobody knows: it is probably misspelt.

    Args:
        tree: From a file.
        known: Genres of the library.

    Raises:
        WrongUsageError: there is one.
    """
    there = {genre_key(name): name for name in (*known, *tree.parents)}
    for parent in tree.unlisted:
        if genre_key(parent) not in there:
            child = next(name for name, above in tree.parents.items() if parent in above)
            near = get_close_matches(genre_key(parent), there, n=1)
            meant = f" Did you mean {printable(repr(there[near[0]]))}?" if near else ""
            raise WrongUsageError(
                f"The parent {printable(repr(parent))} of {printable(repr(child))} has no line of "
                "its own in the genre tree, and the library has no such genre: give it a line, or "
                f"mend its name.{meant} Nothing of the tree was written."
            )


def read_text(path: Path, what: str) -> str:
    """Read a small text file.

    Raises:
        WrongUsageError: there is none, or it isn't UTF-8 text.
    """
    name = printable(path)
    try:
        with open_file(path) as file:
            raw = file.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise WrongUsageError(f"There is no file {name} for {what}.") from error
    except (OSError, ValueError) as error:
        why = why_unreadable(error) if isinstance(error, OSError) else "no name of a file"
        raise WrongUsageError(f"{name}, for {what}, is {why}.") from error
    if len(raw) > LARGEST:
        raise WrongUsageError(f"{name} is too large for {what}: more than {LARGEST >> 20} MB.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WrongUsageError(f"{name} is no UTF-8 text: save it as that.") from error
    if "\0" in text:
        raise WrongUsageError(f"{name} is no text file.")
    return text


def _from_table(text: str, name: str, separator: str) -> Iterator[tuple[str, str]]:
    header, _, _ = text.partition("\n")
    if separator not in header and ";" in header:
        separator = ";"  # what spreadsheets write where the comma is a decimal one
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
        columns = {(column or "").strip().lower(): column for column in reader.fieldnames or ()}
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise WrongUsageError(f"{name} can't be read as a table: {error}.") from error
    called = next((columns[each] for each in _NAMES if each in columns), None)
    if called is None or "parent" not in columns:
        raise WrongUsageError(
            f"{name} has no columns `name` and `parent` in its first line, but "
            f"{', '.join(printable(repr(each)) for each in columns if each) or 'none'}."
        )
    number = next((columns[each] for each in _IDS if each in columns), None)
    by_id: dict[str, str] = {}
    for line, row in rows if number is not None else ():
        id, genre = _cell(row, number), _cell(row, called)
        # A genre with several parents has a row for each.
        if id and by_id.setdefault(id, genre) != genre:
            raise WrongUsageError(
                f"{name}, line {line}: {printable(repr(genre))} has the id {printable(repr(id))} "
                f"of {printable(repr(by_id[id]))}: give each genre its own."
            )
    for line, row in rows:
        genre, parent = _cell(row, called), _cell(row, columns["parent"])
        if not genre and not parent:
            continue
        if not genre:
            raise WrongUsageError(f"{name}, line {line}: a parent of a genre without a name.")
        if number is not None:
            if parent not in _ROOT and parent not in by_id:
                raise WrongUsageError(
                    f"{name}, line {line}: the parent {printable(repr(parent))} of "
                    f"{printable(repr(genre))} is no id of this file."
                )
            parent = "" if parent in _ROOT else by_id[parent]
        yield genre, parent


def _cell(row: dict[str, Any], column: str | None) -> str:
    value = row.get(column)  # type: ignore[arg-type]  # a row that is too long has None
    return value.strip() if isinstance(value, str) else ""


def _from_lines(text: str, name: str) -> Iterator[tuple[str, str]]:
    """A genre a line; `- ` before it and `:` behind it don't count, as in beets' tree."""
    way: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.expandtabs(8).lstrip(" ")
        deep = len(line.expandtabs(8)) - len(bare)
        genre = bare.removeprefix("- ").strip().removesuffix(":").strip()
        if not genre:
            continue
        left = [(far, above) for far, above in way if far < deep]
        sister = way[len(left)][0] if len(left) < len(way) else deep
        if sister != deep:
            raise WrongUsageError(
                f"{name}, line {number}: {printable(repr(genre))} is further in than its parent "
                "and less far than that one's other subgenres: line it up with them."
            )
        way = left
        yield genre, way[-1][1] if way else ""
        way.append((deep, genre))


def _from_json(text: str, name: str) -> Iterator[tuple[str, str]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WrongUsageError(f"{name} can't be read as JSON: {error}.") from error
    left: list[tuple[Any, str]] = [(found, "")]
    while left:
        part, parent = left.pop()
        match part:
            case None:
                continue
            case str() if part.strip():
                yield part.strip(), parent
            case dict() if all(key.strip() for key in part):
                for genre, below in part.items():
                    yield genre.strip(), parent
                    left.append((below, genre.strip()))
            case list():
                left += [(each, parent) for each in part]
            case _:
                where = f" below {printable(repr(parent))}" if parent else ""
                raise WrongUsageError(
                    f"{name} holds {printable(json.dumps(part))[:60]}{where}, where a genre tree "
                    'has names, lists and objects: {"rock": ["punk", {"metal": ["doom"]}]}.'
                )


def listed(names: Iterable[str], most: int = 8) -> str:
    """Some names, and how many more."""
    shown = [printable(each) for each in names]
    more = len(shown) - most
    return ", ".join(shown[:most]) + (f" and {more} more" if more > 0 else "")
