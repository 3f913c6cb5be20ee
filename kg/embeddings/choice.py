"""Which embeddings a library has beside our own features, and what they are called by users."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Final

from kg.audio.features import feature_set
from kg.embeddings.ears import Ear, Ears
from kg.errors import KgError, WrongUsageError
from kg.excerpt import EXCERPT, Excerpt, as_seconds
from kg.given import own_features
from kg.progress import SILENT, Progress
from kg.records import Embedding, FeatureSet
from kg.schema import check_family_name
from kg.text import printable

MUSICNN: Final = "musicnn"
HUB: Final = "hf:"
FILE: Final = "file:"
NONE: Final = "none"

_WAYS: Final = (
    f"{MUSICNN}, {MUSICNN}:WHEEL (the wheel fetched by hand), {HUB}NAME (from the Hugging Face "
    f"hub), or {NONE}"
)


def with_embeddings(own: FeatureSet, embeddings: Iterable[Embedding]) -> FeatureSet:
    """A library's own features, heard or given, and these embeddings after them.

    Raises:
        WrongUsageError: two families have one name.
    """
    listed = tuple(embeddings)
    if not listed:
        return own
    taken = set(own.families)
    for each in listed:
        if check_family_name(each.family) in taken:
            raise WrongUsageError(
                f"There is a feature family called {each.family!r} already: name another."
            )
        taken.add(each.family)
    ends = list(accumulate((len(each.columns) for each in listed), initial=len(own.columns)))
    told = [
        # What comes from files may be brought up to date, and means the same.
        [each.name, "" if is_file(each) else each.identity, each.family, each.columns]
        for each in listed
    ]
    text = json.dumps([own.version, told])
    return replace(
        own,
        version=hashlib.blake2b(text.encode(), digest_size=6).hexdigest(),
        families={
            **own.families,
            **{e.family: slice(*ends[i : i + 2]) for i, e in enumerate(listed)},
        },
        columns=(*own.columns, *(name for each in listed for name in each.columns)),
        embeddings=listed,
    )


def as_now(kinds: FeatureSet) -> FeatureSet:
    """What a library's features are called by this kg: another version where it makes others."""
    return with_embeddings(own_features(kinds), kinds.embeddings)


def cut_off(pending: str | None, *, given: bool = False) -> str:
    """Say how to go on where an ingest was cut off, which gave songs vectors of `pending`.

    Args:
        pending: Embeddings whose vectors were on their way, if any.
        given: Whether a table gives the library's own features.
    """
    if pending is not None and pending.startswith(FILE):
        family = pending.removeprefix(FILE)
        return (
            f"Taking in the vectors of {family!r} was cut off: run `kg ingest --vectors FILE "
            f"--family {family}` again with the same file."
        )
    what = "table" if given else "folders"
    return f"An ingest was cut off: run `kg ingest` again on the same {what}."


def is_file(embedding: Embedding) -> bool:
    """Whether its vectors came from a file, so that nobody can hear them in a new song."""
    return embedding.name.startswith(FILE)


def musicnn_is_here(folder: Path) -> bool:
    """Whether the weights of musicnn are in a folder."""
    from kg.embeddings.musicnn import WEIGHTS

    return (folder / WEIGHTS).is_file()


def check_names(names: Sequence[str]) -> None:
    """Refuse names of embeddings that can't be any.

    Raises:
        WrongUsageError: a name is none, or `none` stands beside others.
    """
    for name in names:
        known = name in (MUSICNN, NONE) or name.startswith((f"{MUSICNN}:", HUB))
        if not known or name.endswith(":"):
            raise WrongUsageError(
                f"There is no embedding called {printable(name)!r}: choose {_WAYS}."
            )
    if NONE in names and len(names) > 1:
        raise WrongUsageError(f"{NONE!r} can't stand beside other embeddings: leave it out.")


def choose(
    there: FeatureSet | None,
    excerpt: Excerpt | None,
    names: Sequence[str] | None,
    folder: Path,
    progress: Progress = SILENT,
    *,
    trust_remote_code: bool = False,
    offer: Callable[[], bool] = lambda: False,
) -> Ears:
    """Say what songs are heard with from now on; a network that is new to the library is loaded.

    Args:
        there: What the features of the library mean; None: it is new.
        excerpt: How much of each song a new one listens to; None: the default.
        names: Embeddings that a user asks for; None: nobody asks.
        folder: Where the weights of musicnn are kept.
        progress: Told what is fetched.
        trust_remote_code: Whether code from the hub may run on this machine.
        offer: Asked in a new library where nobody asks and the weights of musicnn are missing:
            whether to fetch them.

    Raises:
        WrongUsageError: there is no such embedding, or it can't be left out any more.
        KgError: a network can't be fetched or loaded.
    """
    check_names(names or ())
    old: tuple[Embedding, ...] = ()
    if there is None:
        own = feature_set(as_seconds(EXCERPT if excerpt is None else excerpt))
        if names is None and (musicnn_is_here(folder) or offer()):
            names = [MUSICNN]
    else:
        own, old = own_features(there), there.embeddings
    networks: list[tuple[Embedding, Callable[[], Ear]]] = [
        (each, partial(same_ear, each, folder, trust_remote_code=trust_remote_code))
        for each in old
        if not is_file(each)
    ]
    if names and names[0] == NONE:
        if networks:
            raise WrongUsageError(
                f"This library listens with {', '.join(each.name for each, _ in networks)}, which "
                "can't be left out any more: ingest into a new home (--home DIR) or an empty Neo4j "
                "database."
            )
        names = None
    known = {each.name for each in old}
    new: list[Embedding] = []
    for name in dict.fromkeys(names or ()):
        called = MUSICNN if name.startswith(f"{MUSICNN}:") else name
        if called in known and called == name:
            continue
        if called == name == MUSICNN and not musicnn_is_here(folder):
            progress.say("Fetching the weights of musicnn from PyPI (30 MB).")
        elif name.startswith(HUB):
            progress.say(f"Loading {printable(name)}; what isn't here comes from the hub.")
        ear = open_ear(name, folder, trust_remote_code=trust_remote_code)
        if called not in known:
            known.add(called)
            new.append(ear.embedding)
            networks.append((ear.embedding, partial(_as_is, ear)))
    return Ears(with_embeddings(own, [*old, *new]), there, networks)


def _as_is(ear: Ear) -> Ear:
    return ear


def open_ear(name: str, folder: Path, *, trust_remote_code: bool = False) -> Ear:
    """Load the network that a user calls so, after fetching it where it isn't here.

    Args:
        name: `musicnn`, `musicnn:WHEEL` or `hf:NAME`.
        folder: Where the weights of musicnn are kept.
        trust_remote_code: Whether code from the hub may run on this machine.

    Raises:
        WrongUsageError: there is no such network, or it isn't one that hears.
        KgError: it can't be fetched or loaded.
    """
    if name.startswith(HUB):
        from kg.embeddings.hub import load

        return load(name.removeprefix(HUB), trust_remote_code=trust_remote_code)
    from kg.embeddings.musicnn import MusicnnEar, install

    wheel = name.removeprefix(MUSICNN).removeprefix(":")
    return MusicnnEar(install(folder, Path(wheel) if wheel else None))


def same_ear(embedding: Embedding, folder: Path, *, trust_remote_code: bool = False) -> Ear:
    """Load the network that a library listens with.

    Raises:
        KgError: it can't be fetched or loaded, or what it hears now is something else.
    """
    ear = open_ear(embedding.name, folder, trust_remote_code=trust_remote_code)
    if ear.embedding != embedding:
        raise KgError(
            f"This library listens with {embedding.name} of version {embedding.identity}, here is "
            f"{ear.embedding.identity}, and they can't be mixed: use the one that it began with, "
            "or ingest everything into a new home (--home DIR) or an empty Neo4j database."
        )
    return ear
