"""Options that say what songs are heard with, and the one question about it."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from cli.options import App, F

if TYPE_CHECKING:
    from kg.intake.audio import IngestReport

MISSED = (
    "Heard by librosa's features alone. With `--embedding musicnn` a pretrained network listens "
    "too, and genres are told far better (docs/evaluation.md): kg fetches it once, 30 MB."
)


def embedding_option(command: F) -> F:
    """`--embedding`: networks that listen too."""
    return click.option(
        "--embedding",
        "embeddings",
        multiple=True,
        metavar="musicnn|hf:NAME|none",
        help="A pretrained network that listens too, from now on; may be given several times. "
        "musicnn:WHEEL takes a wheel fetched by hand. Default: what the library has; a new one "
        "gets musicnn where its weights are there.",
    )(command)


def trust_option(command: F) -> F:
    """`--trust-remote-code`: a network from the hub may bring code."""
    return click.option(
        "--trust-remote-code",
        is_flag=True,
        help="Let the code that a network on the Hugging Face hub brings run on this machine.",
    )(command)


def offer_musicnn(app: App, *, as_json: bool) -> Callable[[], bool]:
    """What asks whether to fetch musicnn, where somebody is there to answer."""

    def offer() -> bool:
        if app.quiet or as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        return click.confirm(
            "A pretrained network, musicnn, tells genres far better than librosa's features "
            "alone. Fetch it from PyPI (30 MB, once) and listen with it?",
            default=True,
            err=True,
        )

    return offer


def heard_with(embeddings: Sequence[str]) -> list[tuple[str, str]]:
    """The row of a table that says what songs are heard with; none where it is librosa alone."""
    return [("heard with", ", ".join(["librosa", *embeddings]))] if embeddings else []


def remark_on_ears(app: App, report: "IngestReport", *, asked: bool) -> None:
    """Say what is missed, and who couldn't be heard."""
    if report.unheard:
        app.remark(
            f"Songs without an embedding, as their files are gone or changed: {report.unheard}."
        )
    if report.rebuilt and not report.embeddings and not asked:
        app.remark(MISSED)
