"""`kg audit` as it is printed."""

import json
import shutil
from pathlib import Path

import pytest
import soundfile

from kg import Library
from kg.audio.synth import GENRES
from tests.cli.conftest import Kg

ONE, OTHER, THIRD, LAST = GENRES[:4]


@pytest.fixture
def planted(music: Path, tmp_path: Path) -> Path:
    """The library with a song under the wrong genre, and one there twice."""
    folder = tmp_path / "music"
    shutil.copytree(music, folder)
    wrong = folder / ONE / f"{ONE}-0.flac"
    wrong.rename(folder / OTHER / "it's <b>odd&.flac")
    shutil.copy(folder / THIRD / f"{THIRD}-1.flac", folder / THIRD / "twin.flac")
    samples, rate = soundfile.read(folder / LAST / f"{LAST}-2.flac")
    soundfile.write(folder / LAST / "quieter.wav", 0.5 * samples, rate)
    return folder


def test_what_is_found_is_printed_with_its_cypher(kg: Kg, planted: Path) -> None:
    printed = kg("audit")
    assert (printed.code, printed.out) == (1, "")
    assert "run `kg ingest" in printed.err
    kg("ingest", planted, "--genres-from", "folder")
    labels = "MATCH (s:Song)-[r:IN_GENRE]->(g:Genre) RETURN s.id, g.name ORDER BY s.id, g.name"
    before = kg("query", labels, "--json").out
    document = json.loads(kg("audit", "--json").out)
    assert kg("query", labels, "--json").out == before
    printed = kg("audit")
    assert printed.code == 0
    # Every finding shows the same in the graph, whatever is in its name.
    kinds = [document[name] for name in ("artists", "copies", "files", "faults")]
    for found in (document["labels"]["songs"], *kinds):
        for each in found:
            assert json.loads(kg("query", each["cypher"], "--json").out)
    (twice,) = document["files"]
    assert [Path(path).name for path in twice["paths"]] == [f"{THIRD}-1.flac", "twin.flac"]
    assert "Songs in several files of the same bytes: 1" in printed.out
    pairs = [{Path(path).name for path in each["paths"]} for each in document["copies"]]
    assert {f"{LAST}-2.flac", "quieter.wav"} in pairs
    assert str(planted / LAST / "quieter.wav") in printed.out
    assert twice["cypher"] in printed.out
    assert f"{document['labels']['judged']} songs told by logistic regression" in printed.err
    nameless = document["labels"]["nameless"]
    assert (f"Nobody knows who {nameless} of them are by" in printed.err) == (nameless > 0)
    assert document["unheard"] == 0

    assert kg("audit", "--top", "0").code == 2
    printed = kg("audit", "--workers", "2")
    assert printed.code == 2
    assert "give --listen too" in printed.err


def test_songs_of_an_older_kg_are_listened_to(kg: Kg, planted: Path) -> None:
    kg("ingest", planted, "--genres-from", "folder")
    with Library.open() as library:
        library.connection.write(
            lambda tx: tx.run("MATCH (s:Song) SET s.clipping = null, s.soundPrint = null").consume()
        )
    printed = kg("audit")
    assert "Nobody has looked at the sound of 25 songs" in printed.err
    gone = next((planted / LAST).glob("*.flac"))
    gone.unlink()
    printed = kg("audit", "--listen", "--workers", "1")
    assert printed.code == 0
    assert "Songs whose files are gone or can't be heard: 1." in printed.err
    assert json.loads(kg("audit", "--json").out)["unheard"] == 1
