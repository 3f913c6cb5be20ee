"""What a decision came to, said once to the tab that made it: others may decide at once."""

import secrets
import threading
from dataclasses import dataclass
from typing import Final

# Notices that nobody came for yet: the page after a decision asks at once.
_KEPT: Final = 100


@dataclass(frozen=True, slots=True)
class Notice:
    """What the next page says first.

    Attributes:
        text: A sentence, or some.
        wrong: Whether nothing was decided.
        song: Id of the song that was decided about, whose decision this tab may undo next.
    """

    text: str
    wrong: bool = False
    song: str | None = None


class Notices:
    """Notices that wait for their page, by keys that nobody guesses."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, Notice] = {}

    def keep(self, notice: Notice) -> str:
        """Keep a notice; the key that it is taken by."""
        key = secrets.token_urlsafe(8)
        with self._lock:
            self._waiting[key] = notice
            while len(self._waiting) > _KEPT:
                del self._waiting[next(iter(self._waiting))]
        return key

    def take(self, key: str | None) -> Notice | None:
        """The notice of a key, once; None: there is none, or no longer."""
        with self._lock:
            return None if key is None else self._waiting.pop(key, None)
