"""The addresses of a song's sound: its file, the part that kg heard, and a picture of that."""

import re
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from kg.errors import AudioError
from kg.explore import songs, sound

if TYPE_CHECKING:
    from kg.library import Library

# Bytes of sound that are kept for who listens on; an hour is 160 million.
_KEPT: Final = 200_000_000
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


class Ears:
    """Lets the pages hear the songs of a library."""

    def __init__(self, library: "Library") -> None:
        self._library = library
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, sound.Heard] = OrderedDict()

    def routes(self, song: str) -> list[Route]:
        """What answers below a song's address."""
        return [
            Route(song + "/audio", self.audio),
            Route(song + "/heard.wav", self.heard),
            Route(song + "/spectrogram.png", self.spectrogram),
        ]

    def audio(self, request: Request) -> Response:
        """A song's file, or a range of it; only what is called like audio."""
        file = sound.there(songs.show(self._library, request.path_params["id"]).paths)
        kind = None if file is None else sound.PLAYED.get(file.suffix.lower())
        if file is None or kind is None:
            raise HTTPException(404, "The song's file is gone, or no browser plays it.")
        return FileResponse(file, media_type=kind)

    def heard(self, request: Request) -> Response:
        """What kg heard of a song, as every browser plays it, or a range of that."""
        wave = self._hear(request.path_params["id"]).wave
        return ranged(wave, request.headers.get("range"), "audio/wav")

    def spectrogram(self, request: Request) -> Response:
        """A picture of the same."""
        return Response(self._hear(request.path_params["id"]).picture, media_type="image/png")

    def _hear(self, id: str) -> sound.Heard:
        with self._lock:  # picture and sound are asked for at once, and are one decoding
            found = self._kept.get(id) or self._listen(id)
            self._kept[id] = found
            self._kept.move_to_end(id)
            while len(self._kept) > 1 and self._bytes() > _KEPT:
                self._kept.popitem(last=False)
            return found

    def _bytes(self) -> int:
        return sum(len(each.wave) for each in self._kept.values())

    def _listen(self, id: str) -> sound.Heard:
        file = sound.there(songs.show(self._library, id).paths)
        if file is None:
            raise AudioError("The song's file is gone.")
        kinds = self._library.store.feature_set()
        return sound.hear(file, None if kinds is None else kinds.excerpt)


def ranged(data: bytes, asked: str | None, kind: str) -> Response:
    """Bytes, or the one range of them that was asked for: without ranges no player can seek.

    Args:
        data: All of them.
        asked: The request's Range; what isn't one range of bytes is as good as none (RFC 9110,
            14.2).
        kind: Media type.
    """
    headers = {"Accept-Ranges": "bytes"}
    found = _RANGE.fullmatch(asked or "")
    first, last = found.groups() if found else ("", "")
    if not first and not last:
        return Response(data, media_type=kind, headers=headers)
    whole = len(data)
    # `-5`: the last five.
    start = int(first) if first else max(0, whole - int(last))
    end = min(int(last) + 1 if first and last else whole, whole)
    if start >= end:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{whole}"})
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{whole}"
    return Response(data[start:end], 206, headers=headers, media_type=kind)
