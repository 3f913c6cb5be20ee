"""`kg explain` and `kg similar` as they are printed."""

import json
import re
from pathlib import Path

from tests.cli.conftest import Kg


def titles(kg: Kg) -> list[str]:
    cypher = "MATCH (s:Song) RETURN s.title AS title ORDER BY title"
    return [row["title"] for row in json.loads(kg("query", cypher, "--json").out)]


def test_why_a_song_has_its_genres(kg: Kg, music: Path) -> None:
    kg("ingest", music)
    title = titles(kg)[0]
    printed = kg("explain", title)
    assert (printed.code, printed.out) == (1, "")
    assert "no model yet: run `kg train`" in printed.err
    kg("train", "--epochs", "20")
    printed = kg("explain", title, "--top", "3")
    assert printed.code == 0
    assert printed.out.startswith(f'"{title}" by ')
    assert len(re.findall(r"^ ?Why \w+, .*%", printed.out, re.MULTILINE)) == 2
    assert printed.out.count("By its own sound alone") == 2

    # As it is printed, the Cypher shows the paths that stand above it.
    document = json.loads(kg("explain", title, "--top", "3", "--json").out)
    for told in document["explained"]:
        assert told["cypher"] in printed.out
        assert len(told["named"]) == 3
        assert len(told["evidence"]) > 10
        rows = json.loads(kg("query", told["cypher"], "--json").out)
        shown = {(row["path"], row["key"]) for row in rows}
        assert shown == {(each["relationship"], each["key"]) for each in told["named"]}
        for each in told["named"]:
            assert each["words"] in printed.out

    assert kg("explain", title, "--top", "0").code == 2
    printed = kg("explain", "nothing like it")
    assert (printed.code, printed.out) == (1, "")
    assert "no song of the library has that title" in printed.err


def test_songs_like_a_song(kg: Kg, music: Path) -> None:
    kg("ingest", music)
    title = titles(kg)[0]
    printed = kg("similar", title)
    assert printed.code == 0
    assert "By sound alone (SIMILAR_TO)" in printed.err
    kg("train", "--epochs", "20")
    printed = kg("similar", title, "-n", "4")
    assert printed.code == 0
    assert printed.out.startswith(f'Songs like "{title}" by ')
    assert printed.err == ""
    document = json.loads(kg("similar", title, "-n", "4", "--json").out)
    assert document["by"] == "embedding"
    assert document["cypher"] in printed.out
    rows = json.loads(kg("query", document["cypher"], "--json").out)
    assert [row["id"] for row in rows] == [song["id"] for song in document["songs"]]
    for song in document["songs"]:
        assert song["title"] in printed.out
        assert song["words"] in printed.out
    assert (
        "There are no more songs that the model has seen." in kg("similar", title, "-n", "50").err
    )
    assert kg("similar", title, "-n", "0").code == 2
