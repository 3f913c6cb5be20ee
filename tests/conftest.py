"""Fixtures: the two servers, emptied for every test, and the real data."""

import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from kg.graph import embedded
from kg.graph.connection import Connection
from kg.settings import Settings
from tests.neo4j import starter

pytest_plugins = ["tests.music", "tests.browser"]

# A slow machine is no failed property.
hypothesis_settings.register_profile(
    "kg", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("kg")

# As it was at the start: no test sees it, see `clean_environment`.
ENVIRONMENT = MappingProxyType(dict(os.environ))
REPOSITORY = Path(__file__).parent.parent


def pytest_configure(config: pytest.Config) -> None:
    # A shell lets what it starts in the background ignore Ctrl-C, and so would the commands that
    # tests start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    several = (getattr(config.option, "numprocesses", None) or 0) > 1
    if several and ENVIRONMENT.get("NEO4J_URI"):
        raise pytest.UsageError(
            "Several processes (-n) would empty the one database at NEO4J_URI under each other: "
            "leave out -n, or unset NEO4J_URI."
        )


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        if name.startswith(("NEO4J_", "KG_")):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def same_chance() -> None:
    """What is drawn without a seed doesn't depend on which tests ran before in this process."""
    random.seed(0)
    if "torch" in sys.modules:  # not to import it for those who don't need it
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real music; KG_TEST_DATA, or ../shared/data beside the repository."""
    path = Path(ENVIRONMENT.get("KG_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no test data at {path} (KG_TEST_DATA)")
    return path.absolute()


@pytest.fixture(scope="session")
def embedded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of an embedded server that stays up for all tests."""
    server_dir = tmp_path_factory.mktemp("embedded") / "server"
    with embedded.acquire(server_dir):
        yield server_dir


@pytest.fixture(scope="session")
def real_neo4j(tmp_path_factory: pytest.TempPathFactory) -> Iterator[starter.Address]:
    """A real Neo4j that stays up for all tests."""
    server = starter.serve(ENVIRONMENT, tmp_path_factory.mktemp("neo4j"))
    try:
        address = server.__enter__()
    except starter.UnavailableError as reason:
        if ENVIRONMENT.get("KG_REQUIRE_NEO4J") == "1":
            pytest.fail(f"KG_REQUIRE_NEO4J=1, but {reason}")
        pytest.skip(f"no real Neo4j: {reason}")
    try:
        yield address
    finally:
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def newest_neo4j(tmp_path_factory: pytest.TempPathFactory) -> Iterator[starter.Address]:
    """The newest Neo4j, which speaks TLS too."""
    scratch = tmp_path_factory.mktemp("newest")
    try:
        java = starter.find_java(starter.NEWEST_JAVA, ENVIRONMENT)
        certificates = starter.certify(scratch / "certificates")
        server = starter.from_maven(
            scratch, version=starter.NEWEST, java=java, certificates=certificates
        )
        address = server.__enter__()
    except starter.UnavailableError as reason:
        pytest.skip(f"no Neo4j {starter.NEWEST}: {reason}")
    try:
        yield replace(address, certificate=certificates / starter.CERTIFICATE)
    finally:
        server.__exit__(None, None, None)


def settings_of(neo4j: starter.Address, home: Path) -> Settings:
    """Settings for a Neo4j."""
    return Settings(
        kg_home=home,
        neo4j_uri=neo4j.uri,
        neo4j_username=neo4j.username,
        neo4j_password=neo4j.password,
        neo4j_database=neo4j.database,
    )


@pytest.fixture(params=["embedded", "neo4j"])
def new_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Settings]:
    """Make settings for this parameter's server, each with a home of its own."""
    homes = 0

    def make() -> Settings:
        nonlocal homes
        homes += 1
        home = tmp_path / f"home{homes}"
        home.mkdir()
        if request.param == "embedded":
            # All homes share one running server; the locks lie behind the link.
            (home / "server").symlink_to(request.getfixturevalue("embedded_server"))
            return Settings(kg_home=home)
        return settings_of(request.getfixturevalue("real_neo4j"), home)

    return make


@pytest.fixture
def server(new_settings: Callable[[], Settings]) -> Settings:
    """Settings for an emptied database: first on the embedded server, then on a real Neo4j."""
    settings = new_settings()
    with Connection.open(settings) as connection:
        empty(connection)
    return settings


@pytest.fixture
def connection(server: Settings) -> Iterator[Connection]:
    """An open connection to an emptied database."""
    with Connection.open(server) as connection:
        yield connection


@pytest.fixture
def server_environment(server: Settings) -> dict[str, str]:
    """Environment for a `kg` subprocess that works on the emptied database."""
    return environment_of(server)


def environment_of(settings: Settings) -> dict[str, str]:
    """Write settings as environment variables, beside what a process needs anyway."""
    environment = dict(os.environ) | {"KG_HOME": str(settings.kg_home)}
    if settings.neo4j_uri:
        environment |= {
            "NEO4J_URI": settings.neo4j_uri,
            "NEO4J_USERNAME": settings.neo4j_username,
            "NEO4J_PASSWORD": settings.neo4j_password.get_secret_value(),
            "NEO4J_DATABASE": settings.neo4j_database,
        }
    return environment


def empty(connection: Connection) -> None:
    """Delete all nodes, constraints and indexes."""
    connection.write(lambda tx: tx.run("MATCH (n) DETACH DELETE n").consume())
    # Constraints first: they own indexes, which can't be dropped alone.
    for kind, listing in (("CONSTRAINT", "SHOW CONSTRAINTS"), ("INDEX", "SHOW INDEXES")):
        answer = connection.ask(f"{listing} YIELD name, type")
        for name, type_ in answer.rows:
            if type_ != "LOOKUP":  # Neo4j's own two
                connection.schema(f"DROP {kind} `{name}` IF EXISTS")
