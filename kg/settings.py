"""Where things lie and which server is used: the environment, with defaults for one machine."""

import re
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from kg.errors import WrongUsageError
from kg.files import expanded

BOLT_SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")


def make_writable(folder: Path) -> None:
    """Create a folder if it is missing, and try whether a file can be written there.

    Raises:
        OSError: it can't.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


class Settings(BaseSettings):
    """Read from the environment; every value can also be given by keyword.

    Attributes:
        neo4j_uri: Address of a Neo4j server; without it the embedded server is used.
        neo4j_username: User on that server.
        neo4j_password: Password on that server; never shown.
        neo4j_database: Database on that server.
        kg_home: Folder for everything that isn't in the database: feature cache, checkpoints,
            the embedded server's files.
        kg_genre_policy: Which genres are shown and proposed; default: `genre-policy.toml` in the
            home folder, where there is one.

    Raises:
        WrongUsageError: a value can't be used; the message says how to write it.
    """

    # An empty variable means unset, as compose files write it.
    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    # Each field is named as its variable: a field called `home` would also read HOME.
    neo4j_uri: str | None = None
    neo4j_username: str = "neo4j"
    neo4j_password: SecretStr = SecretStr("")
    neo4j_database: str = "neo4j"
    kg_home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("kg", appauthor=False))
    )

    kg_genre_policy: Path | None = None

    @field_validator("neo4j_uri")
    @classmethod
    def _known_scheme(cls, uri: str | None) -> str | None:
        if uri is None:
            return None
        try:
            parts = urlsplit(uri)
            usable = parts.scheme in BOLT_SCHEMES and parts.hostname and parts.port != 0
        except ValueError:  # an open bracket, a port that is no number
            usable = False
        if not usable:
            # What stands before an @ may be a password.
            raise WrongUsageError(
                f"NEO4J_URI={re.sub('//.*@', '//...@', uri)} is not a Neo4j address: write it as "
                f"neo4j://HOST:7687 or bolt://HOST:7687 (schemes: {', '.join(BOLT_SCHEMES)}), or "
                "unset NEO4J_URI to use the embedded server."
            )
        if "@" in uri:
            raise WrongUsageError(
                "NEO4J_URI holds a user or password: give them as NEO4J_USERNAME and "
                f"NEO4J_PASSWORD, and the address as {re.sub('//.*@', '//', uri)}."
            )
        return uri

    @field_validator("kg_home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return expanded(home).absolute()

    @property
    def embedded(self) -> bool:
        """Whether the embedded server serves this run."""
        return self.neo4j_uri is None

    @property
    def cache_dir(self) -> Path:
        """Feature cache."""
        return self.kg_home / "cache"

    @property
    def neighbours_dir(self) -> Path:
        """Index of similar songs."""
        return self.cache_dir / "neighbours"

    @property
    def centroids_dir(self) -> Path:
        """Centroids of the build that songs were last added to."""
        return self.cache_dir / "centroids"

    @property
    def map_file(self) -> Path:
        """Where songs lie on the map of the last build that one was drawn of."""
        return self.cache_dir / "map.npz"

    @property
    def embeddings_dir(self) -> Path:
        """Weights of networks that listen."""
        return self.kg_home / "embeddings"

    @property
    def rejects_file(self) -> Path:
        """Files that the last ingest left out, with reasons."""
        return self.kg_home / "rejects.txt"

    @property
    def genre_policy_file(self) -> Path | None:
        """Which genres are shown and proposed; None: all are."""
        if self.kg_genre_policy is not None:
            return self.kg_genre_policy
        usual = self.kg_home / "genre-policy.toml"
        return usual if usual.exists() else None

    @property
    def models_dir(self) -> Path:
        """Checkpoints, one folder a model."""
        return self.kg_home / "models"

    @property
    def server_dir(self) -> Path:
        """Files of the embedded server."""
        return self.kg_home / "server"

    @property
    def comparison_dir(self) -> Path:
        """What an unfinished comparison has come to."""
        return self.kg_home / "comparison"

    @property
    def watch_dir(self) -> Path:
        """What files of watched folders were when they were last looked at."""
        return self.kg_home / "watch"

    @property
    def tags_dir(self) -> Path:
        """What files were before their tags were written."""
        return self.kg_home / "tag-backups"

    @property
    def lock_file(self) -> Path:
        """Held by the one command of this home that writes to the graph."""
        return self.kg_home / "write.lock"

    def make_home(self) -> Path:
        """Create the home folder.

        Raises:
            WrongUsageError: it can't be created or written to.
        """
        try:
            make_writable(self.kg_home)
        except OSError as error:
            raise WrongUsageError(
                f"The home folder {self.kg_home} can't be written to ({error.strerror}): choose "
                "another with --home DIR or KG_HOME."
            ) from error
        return self.kg_home
