"""Comparisons that are kept in the graph: which there are, and taking some away."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kg.errors import WrongUsageError
from kg.graph import experiments
from kg.graph.experiments import Experiment

if TYPE_CHECKING:
    from kg.graph.connection import Connection


def remove_experiments(connection: "Connection", wanted: Sequence[str]) -> list[Experiment]:
    """Take comparisons out of the graph. All are looked up before one is deleted.

    Args:
        connection: The graph.
        wanted: Their ids, or what these begin with.

    Returns:
        What was deleted.

    Raises:
        WrongUsageError: there is no such comparison, or several.
        GraphError: the server refuses it or doesn't answer.
    """
    there = experiments.read(connection)
    found = {each.run: each for each in (_called(name, there) for name in wanted)}
    experiments.remove(connection, found)
    return list(found.values())


def _called(name: str, there: Sequence[Experiment]) -> Experiment:
    found = [each for each in there if name and each.run.startswith(name)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise WrongUsageError(
            f"There is no comparison {name!r}: `kg experiments list` shows them. Nothing was "
            "removed."
        )
    raise WrongUsageError(
        f"{name!r} could be any of {', '.join(each.run for each in found)}: write more of the id. "
        "Nothing was removed."
    )
