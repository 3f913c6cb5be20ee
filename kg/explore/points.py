"""The map as the browser draws it: all songs in one document, made once and kept."""

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kg.errors import KgError
from kg.explore.failures import unforeseen
from kg.explore.songs import called
from kg.graph import queries
from kg.graph.transactions import read_rows
from kg.maps.songs import song_map
from kg.report.charts import COLOURS, shortened
from kg.text import printable

if TYPE_CHECKING:
    from kg.library import Library

OTHERS, NO_GENRE, UNTOLD = "other genres", "no genre", "nothing heard"

# Seconds for which a map is believed; another command may add songs.
_BELIEVED: Final = 60.0


@dataclass(frozen=True, slots=True)
class Points:
    """A map that is being made, or there, or can't be.

    Attributes:
        document: JSON for the browser; None: wait, or see `error`.
        error: Why there is none.
    """

    document: bytes | None
    error: str | None = None


class MapMaker:
    """Makes the map beside the answers, and keeps it."""

    def __init__(self, library: "Library") -> None:
        self._library = library
        self._lock = threading.Lock()
        self._points = Points(None)
        self._made = 0.0
        self._outdated = True
        self._busy = False
        self._closed = False

    def close(self) -> None:
        """Begin no other; what one of them does on a closed connection fails, and nobody minds."""
        with self._lock:
            self._closed = True

    def points(self) -> Points:
        """The map as it is; an old one while a new one is made. Never waits."""
        with self._lock:
            stale = self._outdated or time.monotonic() - self._made >= _BELIEVED
            if stale and not self._busy and not self._closed:
                self._busy, self._outdated = True, False
                threading.Thread(target=self._make, daemon=True, name="map").start()
            return self._points

    def outdated(self) -> None:
        """Make it anew when it is next asked for."""
        with self._lock:
            self._outdated = True

    def _make(self) -> None:
        began = time.monotonic()
        document, error = None, None
        try:
            document = _document(self._library)
        except KgError as failed:
            error = str(failed)
        except Exception as failed:  # noqa: BLE001 - or the page would wait for ever
            error = unforeseen(failed)
        with self._lock:
            self._busy = False
            # An old map is better than none while another command rebuilds the graph.
            if document is not None or self._points.document is None:
                self._points = Points(document, error)
            self._made = began


def _document(library: "Library") -> bytes:
    """Where each song lies, what is shown of it, and its genres as numbers."""
    connection = library.connection  # a closed library would open another
    drawn = song_map(library)
    of = {row["id"]: row for row in read_rows(connection, queries.MAPPED_SONGS)}
    rows = [row for row, id in enumerate(drawn.ids) if id in of]
    songs = [of[drawn.ids[row]] for row in rows]
    filed = [min(song["genres"], default=NO_GENRE) for song in songs]
    heard = [min(song["told"], default=UNTOLD) for song in songs]
    coloured = _coloured([*filed, *heard])
    names = [*coloured, OTHERS, NO_GENRE, UNTOLD]
    number = {name: at for at, name in enumerate(names)}
    others = len(coloured)
    document = {
        "names": [printable(shortened(name)) for name in names],
        "coloured": len(coloured),
        "ids": [song["id"] for song in songs],
        "x": [round(float(drawn.x[row]), 4) for row in rows],
        "y": [round(float(drawn.y[row]), 4) for row in rows],
        "filed": [number.get(name, others) for name in filed],
        "heard": [number.get(name, others) for name in heard],
        "text": [_text(song) for song in songs],
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(
        errors="backslashreplace"
    )


def _coloured(names: Sequence[str]) -> list[str]:
    """Genres that get a colour of their own: the commonest, by name."""
    counted = Counter(name for name in names if name not in (NO_GENRE, UNTOLD))
    most = sorted(counted.items(), key=lambda each: (-each[1], each[0]))[:COLOURS]
    return sorted(name for name, _ in most)


def _text(song: Mapping[str, Any]) -> str:
    """What is shown of a song that is pointed at, in lines."""
    lines = [
        called(song["title"], song["path"], song["id"]),
        song["artist"],
        ", ".join(sorted(song["genres"])) or NO_GENRE,
        *(f"heard as {name}" for name in song["told"]),
    ]
    return "\n".join(printable(shortened(line, 70)) for line in lines if line)
