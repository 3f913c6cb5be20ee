"""The one place of the version: pyproject.toml, `kg --version` and checkpoints read it here."""

__version__ = "0.1.0"
