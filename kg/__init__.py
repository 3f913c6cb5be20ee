"""A knowledge graph of music, with genres predicted by a graph neural network.

from kg import Library

with Library.open() as library:
    library.ingest(["~/Music"])
    library.train()
    library.query("MATCH (s:Song)-[:PREDICTED_GENRE {rank: 1}]->(g:Genre) RETURN s.title, g.name")
"""

from typing import TYPE_CHECKING, Any

from kg._version import __version__

if TYPE_CHECKING:
    from kg.library import Library

__all__ = ["Library", "__version__"]


def __getattr__(name: str) -> Any:
    # `import kg` stays light: the library's imports come with its first use.
    if name == "Library":
        from kg.library import Library

        return Library
    raise AttributeError(f"module 'kg' has no attribute {name!r}")
