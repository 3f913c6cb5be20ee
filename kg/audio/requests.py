"""What child processes are asked and what they answer, and how both go through a pipe.

Nothing here, nor what it imports, needs numpy: a process that only reads tags starts in no time.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Union

from kg.audio.tags import Tags
from kg.errors import AudioError, KgError
from kg.excerpt import EXCERPT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kg.audio.cache import Row

FRAME_DTYPE: Final = "float16"
"""Half precision halves the disk at an error of 0.05 % at most: 0.02 dB in a log-mel."""

READY: Final[dict[str, object]] = {"ready": True}
"""What a child says when it has started."""


@dataclass(frozen=True, slots=True)
class Request:
    """One song to be heard.

    Attributes:
        song: Its content id.
        path: Where it lies.
        excerpt: Seconds decoded from its middle (None: all of it).
        sequence: Kind of frame sequence that is to be written (None: its features are wanted).
        form: Form in which a network is to hear it (None: its features are wanted).
        target: The file that a frame sequence goes to.
        modified: When the file was last changed as its content was hashed, in ns, where known.
    """

    song: str
    path: Path
    excerpt: float | None = EXCERPT
    sequence: str | None = None
    target: Path | None = None
    modified: int | None = None
    form: str | None = None

    def changed(self) -> bool:
        """Whether the file was changed since: what is heard isn't what was hashed."""
        try:
            return self.modified not in (None, self.path.stat().st_mtime_ns)
        except OSError:  # gone: what was heard of it is right
            return False


@dataclass(frozen=True, slots=True)
class Identify:
    """A file that is to be known by its content."""

    path: Path


@dataclass(frozen=True, slots=True)
class ReadTags:
    """A file whose tags are wanted. They are read for themselves: if that fails, nothing else."""

    path: Path


@dataclass(frozen=True, slots=True)
class ReadTracks:
    """A file of the Million Song Dataset whose tracks are wanted."""

    path: Path


AnyRequest = Request | Identify | ReadTags | ReadTracks

Said = tuple[str, str | None, str | None, str | None, int | None]
"""Of a track of the Million Song Dataset: its id, title, artist, album and year."""


@dataclass(frozen=True, slots=True)
class Written:
    """A frame sequence, which lies in its file now."""

    frames: int


@dataclass(frozen=True, slots=True)
class Identity:
    """What a file is.

    Attributes:
        content: Its content id.
        modified: When it was last changed before it was hashed, in ns.
    """

    content: str
    modified: int


@dataclass(frozen=True, slots=True, eq=False)
class Formed:
    """A song as a network hears it: float32, of any shape."""

    values: "NDArray[np.float32]"


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """Tracks of a file of the Million Song Dataset.

    Attributes:
        said: What the file says of each of n tracks.
        seconds: How long each is, None where nobody says.
        features: Float32 [n, d].
    """

    said: list[Said]
    seconds: list[float | None]
    features: "NDArray[np.float32]"


Outcome = Union["Row", Formed, Written, Identity, Tags, Tracks, AudioError]


# -- the protocol: a line of JSON in; a line of JSON out, followed by numbers as float32 -------


def send_request(pipe: IO[bytes], request: AnyRequest, patience: float) -> None:
    """Ask a child to do something within `patience` seconds."""
    told = {key: str(it) if isinstance(it, Path) else it for key, it in asdict(request).items()}
    send(pipe, {"kind": type(request).__name__, "told": told, "patience": patience})


def receive_outcome(pipe: IO[bytes]) -> Outcome:
    """Wait for a child's answer.

    Raises:
        EOFError, ValueError: there is none, or it is garbled.
        KgError: the child can't go on, and no other could.
    """
    import numpy as np

    from kg.audio.cache import Row

    line = pipe.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    reply = json.loads(line)
    try:
        if "failure" in reply:
            raise KgError(reply["failure"])
        if "reason" in reply:
            return AudioError(reply["reason"])
        if "frames" in reply:
            return Written(reply["frames"])
        if "content" in reply:
            return Identity(reply["content"], reply["modified"])
        if "tags" in reply:
            return Tags(**reply["tags"] | {"genres": tuple(reply["tags"]["genres"])})
        values = pipe.read(4 * reply["size"])
        if len(values) < 4 * reply["size"]:
            raise EOFError
        if "tracks" in reply:
            said: list[Said] = [tuple(track) for track in reply["tracks"]]
            features = np.frombuffer(values, np.float32).reshape(len(said), reply["width"])
            return Tracks(said, reply["seconds"], features)
        if "shape" in reply:
            return Formed(np.frombuffer(values, np.float32).reshape(reply["shape"]))
        numbers, width = np.frombuffer(values, np.float32), reply["width"]
        sound = numbers[width:] if len(numbers) > width else None
        return Row(numbers[:width], reply["duration"], reply["sample_rate"], sound)
    except (KeyError, TypeError) as error:
        raise ValueError(f"a reply of another kind: {line!r}") from error


def send_outcome(pipe: IO[bytes], outcome: Outcome) -> None:
    """Answer."""
    reply: dict[str, object]
    if isinstance(outcome, AudioError):
        send(pipe, {"reason": outcome.reason})
    elif isinstance(outcome, Written):
        send(pipe, {"frames": outcome.frames})
    elif isinstance(outcome, Identity):
        send(pipe, asdict(outcome))
    elif isinstance(outcome, Formed):
        values = outcome.values
        send(pipe, {"shape": values.shape, "size": values.size}, values.tobytes())
    elif isinstance(outcome, Tracks):
        features = outcome.features
        reply = {"tracks": outcome.said, "seconds": outcome.seconds}
        reply |= {"size": features.size, "width": features.shape[1]}
        send(pipe, reply, features.tobytes())
    elif isinstance(outcome, Tags):
        send(pipe, {"tags": asdict(outcome)})
    else:
        parts = [outcome.features, *([] if outcome.sound is None else [outcome.sound])]
        reply = {
            "duration": outcome.duration,
            "sample_rate": outcome.sample_rate,
            "width": len(outcome.features),
            "size": sum(map(len, parts)),
        }
        send(pipe, reply, b"".join(part.tobytes() for part in parts))


def read_request(line: bytes) -> tuple[AnyRequest, float]:
    """Read what a child is asked, and how many seconds it has."""
    asked = json.loads(line)
    kinds: dict[str, Callable[..., AnyRequest]] = {
        kind.__name__: kind for kind in (Request, Identify, ReadTags, ReadTracks)
    }
    paths = {key: Path(asked["told"][key]) for key in ("path", "target") if asked["told"].get(key)}
    return kinds[asked["kind"]](**asked["told"] | paths), asked["patience"]


def send(pipe: IO[bytes], message: dict[str, object], tail: bytes = b"") -> None:
    """Send a line of JSON, and what follows it."""
    pipe.write(json.dumps(message).encode() + b"\n" + tail)
    pipe.flush()
