"""Libraries whose features a table gives, on both servers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kg import Library
from kg.learning import TrainOptions
from kg.settings import Settings
from tests.tables import GENRES, made_up, table_of
from tests.test_library import counted, everything

QUICK = TrainOptions(epochs=15)


@pytest.fixture
def empty_library(server: Settings) -> Iterator[Library]:
    with Library(server) as library:
        yield library


def test_from_a_table_to_predictions(empty_library: Library, tmp_path: Path) -> None:
    library = empty_library
    songs, x = made_up()
    x[3, :6] = np.nan  # lacks a family
    x[7] = np.nan  # lacks all
    report = library.ingest_table(table_of(songs, x))
    assert (report.taken, report.new, report.changed, report.rebuilt) == (48, 48, 0, True)
    assert report.families == {"timbre": 6, "harmony": 3}
    assert report.bare == 1
    assert report.missing == pytest.approx(np.isnan(x).mean())
    assert report.counts is not None
    assert report.counts.genres == len(GENRES)
    assert counted(library, "(:Song)-[:HAS_FEATURE {family: 'timbre'}]->()") == 46
    assert counted(library, "(:Song)-[:HAS_FEATURE {family: 'harmony'}]->()") == 47 - (
        np.isnan(x[:, 6:]).all(axis=1).sum() - 1
    )
    assert counted(library, "(:Song)-[:IN_GENRE {source: 'table'}]->()") == 48
    before = everything(library)
    again = library.ingest_table(table_of(songs, x))
    assert (again.taken, again.new, again.changed, again.rebuilt) == (48, 0, 0, False)
    assert everything(library) == before

    trained = library.train(QUICK)
    assert trained.predicted == 48
    assert trained.split.protocol == "artist"
    assert library.status().stale == []
    assert counted(library, "(:Song)-[:PREDICTED_GENRE]->(:Genre)") == 48 * 3
