"""`kg ingest` of data sets."""

import json
from pathlib import Path

from tests.cli.conftest import Kg
from tests.sources import published


def test_commands(kg: Kg, tmp_path: Path) -> None:
    tree = published.msd_tree(tmp_path / "data")
    lines = [f"{published.TRACKS[0]}\tRock\tPop", f"{published.TRACKS[1]}\tJazz"]
    genres = published.msd_genres(tmp_path / "msd_tagtraum_cd1.cls", lines)
    (tree / "cut.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    dry = kg("ingest", tree, "--metadata", genres, "--dry-run")
    assert (dry.code, dry.err) == (0, "")
    assert "Data set msd" in dry.out
    assert "3: Rock 1, Pop 1, Jazz 1" in dry.out
    told = json.loads(kg("ingest", tree, "--metadata", genres, "--dry-run", "--json").out)
    assert (told["songs"], told["families"]["timbre"]) == (3, 90)
    assert [row["row"] for row in told["left_out"]] == ["cut.h5"]
    done = kg("ingest", tree, "--metadata", genres)
    assert done.code == 0
    assert "Ingested msd" in done.out
    assert "cut.h5" in done.err
    assert "Genres are those of msd_tagtraum_cd1.cls." in done.err
    assert kg("ingest", tree, "--metadata", genres, "--strict").code == 1
    next(tree.rglob(f"{published.TRACKS[2]}.h5")).unlink()
    unclear = kg("ingest", tree, "--metadata", genres, "--prune", "--yes")
    assert (unclear.code, unclear.out) == (1, "")
    assert "1 row of msd can't be read, so --prune can't tell what is gone" in unclear.err
    (tree / "cut.h5").unlink()
    assert kg("ingest", tree, "--metadata", genres, "--prune", "--yes").code == 0
    assert kg("query", "MATCH (s:Song) RETURN count(*) AS n", "--csv").out.split() == ["n", "2"]


def test_what_another_version_would_overwrite_is_told_before(kg: Kg, tmp_path: Path) -> None:
    names = [f"{genre}.{n:05d}.wav" for genre in ("blues", "jazz") for n in range(10)]
    table = published.gtzan_table(tmp_path / "features_30_sec.csv", names)
    said = "songs that are there from a table called gtzan will get other values"
    assert said not in kg("ingest", table).err
    assert said not in kg("ingest", table).err
    head, *rows = table.read_text(encoding="utf-8").splitlines()
    tempo = head.split(",").index("tempo")
    cells = [row.split(",") for row in rows]
    other = [[*row[:tempo], f"{n}.5", *row[tempo + 1 :]] for n, row in enumerate(cells)]
    table.write_text("\n".join([head, *map(",".join, other)]), encoding="utf-8")
    taken = kg("ingest", table)
    assert f"20 of 20 {said}" in taken.err
    assert taken.err.index(said) < taken.err.index("Clustering")
    assert "take this one into a library of its own" in taken.err


def test_wrong_usage(run: Kg, tmp_path: Path) -> None:
    home = ("--home", tmp_path / "home")
    clips = published.audioset(tmp_path / "audioset")
    fma = published.fma_audio(tmp_path / "fma_small")
    other = published.gtzan_table(tmp_path / "features.csv")
    for arguments, said in (
        ((clips, other), "is a table of audioset: take in tables one at a time"),
        ((clips, "--workers", "2"), "--workers isn't for a data set"),
        ((clips, "--subset", "small"), "--subset isn't for audioset"),
        ((clips, "--metadata", clips), "--metadata isn't for audioset"),
        ((fma, "--subset", "small"), "--subset is for FMA's table"),
        ((fma,), "tracks.csv isn't there"),
        ((other, "--source", "msd"), "neither HDF5 nor the table"),
        ((other, "--source", "spotify"), "'spotify' is not one of"),
        ((tmp_path / "nowhere.h5",), "There is no folder or file called"),
        ((tmp_path, "--source", "table"), "can't be used"),
        ((other, clips, "--source", "table"), "one at a time"),
        ((tmp_path / "nowhere", "--source", "fma"), "There is no folder or file called"),
    ):
        printed = run(*home, "ingest", *arguments)
        assert printed.code == 2, arguments
        assert said in " ".join(printed.err.split()), arguments
        assert printed.out == ""


def test_columns_make_it_any_table(run: Kg, tmp_path: Path) -> None:
    names = [f"blues.{n:05d}.wav" for n in range(30)] + [f"jazz.{n:05d}.wav" for n in range(30)]
    table = published.gtzan_table(tmp_path / "features.csv", names)
    home = ("--home", tmp_path / "home")
    for arguments in (("--features", "mfcc*"), ("--source", "table")):
        dry = run(*home, "ingest", table, *arguments, "--dry-run", "--json")
        assert dry.code == 0, dry.err
        assert json.loads(dry.out)["form"].startswith("CSV")
    dry = run(*home, "ingest", table, "--dry-run", "--json")
    assert json.loads(dry.out)["name"] == "gtzan"


def test_a_dry_run_shows_audio(run: Kg, tmp_path: Path) -> None:
    clips = ["blues.00000.wav", "jazz.00099.wav", "jazz.00033.wav"]
    folder = published.gtzan_audio(tmp_path / "genres", clips)
    (folder / "jazz" / "gone.mp3").symlink_to("nowhere.mp3")
    home = ("--home", tmp_path / "home")
    dry = run(*home, "ingest", folder, "--dry-run")
    assert (dry.code, "Audio of gtzan" in dry.out) == (0, True)
    assert "2: jazz 2, blues 1" in dry.out
    assert "valid 1, test 1" in dry.out
    assert "jazz.00033" in dry.out
    assert "files left out" in dry.out
    told = json.loads(run(*home, "ingest", folder, "--dry-run", "--json").out)
    assert (told["name"], told["songs"], told["families"]) == ("gtzan", 3, {})
    assert told["faults"] == {"jazz.00033": "listed as faulty"}
    [left] = told["left_out"]
    assert left["row"].endswith("gone.mp3")
    assert "Nothing was listened to" in told["remarks"][-1]
    plain = run(*home, "ingest", folder, "--source", "audio", "--dry-run", "--json")
    told = json.loads(plain.out)
    assert (told["name"], told["splits"]) == ("audio", {})
    assert told["genres"] == {"blues": 1, "jazz": 2}
    (tmp_path / "nothing").mkdir()
    assert run(*home, "ingest", tmp_path / "nothing", "--dry-run").code == 1
    assert not (tmp_path / "home").exists()


def test_a_dry_run_looks_as_closely_as_an_ingest(run: Kg, tmp_path: Path) -> None:
    names = [f"blues.{n:05d}.wav" for n in range(3)] * 2
    table = published.gtzan_table(tmp_path / "features.csv", names)
    told = json.loads(run("ingest", table, "--dry-run", "--json").out)
    assert (told["songs"], told["genres"], len(told["left_out"])) == (3, {"blues": 3}, 3)
    assert {row["reason"] for row in told["left_out"]} == {"an earlier row has the same id"}
    fma = published.fma_metadata(tmp_path / "fma_metadata")
    circle = published.FMA_GENRES.replace("12,32923,0,", "12,32923,103,")
    (fma / "genres.csv").write_text(circle, encoding="utf-8")
    dry = run("ingest", fma, "--dry-run")
    assert (dry.code, dry.out) == (2, "")
    assert "The genre tree goes in a circle" in dry.err
