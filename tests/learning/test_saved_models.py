"""Kept models: listed, put to use again, removed, refused where they don't fit."""

import json
import shutil
from pathlib import Path

import pytest

from kg import Library
from kg.audio.synth import GENRES, write_song
from kg.errors import KgError, NotReadyError, WrongUsageError
from kg.graph.rows import Looks
from kg.graph.store import GraphStore
from kg.learning.saved_models import latest_model, misfit
from kg.learning.training import TrainOptions
from models import checkpoint

QUICK = TrainOptions(epochs=5)


@pytest.fixture
def trained(library: Library, music: Path) -> tuple[Library, list[str]]:
    """A library with two models, and their ids, the oldest first."""
    library.ingest(music)
    return library, [library.train(TrainOptions(epochs=5, seed=seed)).model.id for seed in (0, 1)]


def predicted_by(library: Library) -> set[str]:
    rows = library.ask("MATCH ()-[r:PREDICTED_GENRE]->() RETURN DISTINCT r.model").rows
    return {row[0] for row in rows}


def folders(library: Library) -> set[str]:
    return {folder.name for folder in library.settings.models_dir.iterdir()}


def copy_as(library: Library, id: str, new: str, **changes: object) -> Path:
    """Put another checkpoint beside that of `id`, which says other things of itself."""
    folder = library.settings.models_dir / new
    shutil.copytree(library.settings.models_dir / id, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["extra"] |= changes
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_a_checkpoint_that_is_gone_or_damaged_is_remarked_on(
    trained: tuple[Library, list[str]],
) -> None:
    library, (_, second) = trained
    folder = library.settings.models_dir / second
    config = folder / "config.json"
    text = config.read_text(encoding="utf-8")
    config.write_text(text[:50], encoding="utf-8")
    assert "damaged checkpoint" in " ".join(library.status().stale)
    config.write_text(text, encoding="utf-8")
    assert library.status().stale == []
    shutil.rmtree(folder)
    (remark,) = library.status().stale
    assert "The model in use has no checkpoint on this machine: run `kg train`" in remark


def test_listed_used_and_removed(trained: tuple[Library, list[str]]) -> None:
    library, (first, second) = trained
    newest, oldest = library.models()
    assert (newest.id, newest.state, newest.misfit) == (second, "current", None)
    assert (oldest.id, oldest.state, oldest.misfit) == (first, "superseded", None)
    assert newest.metrics["accuracy"] == library.status().model.metrics["accuracy"]
    assert newest.bytes == sum(
        file.stat().st_size for file in (library.settings.models_dir / second).iterdir()
    )

    report = library.use_model(first)
    assert (report.model.id, report.predicted) == (first, 24)
    assert predicted_by(library) == {first}
    assert [model.state for model in library.models()] == ["superseded", "current"]
    assert library.status().stale == []

    with pytest.raises(WrongUsageError, match=r"in use: .*Nothing was removed"):
        library.remove_models([second, first])
    assert folders(library) == {first, second}
    (removed,) = library.remove_models([second, second])
    assert removed.id == second
    assert folders(library) == {first}
    assert [model.id for model in library.models()] == [first]
    assert predicted_by(library) == {first}

    library.remove_models(first, force=True)
    assert library.models() == []
    assert predicted_by(library) == set()
    assert folders(library) == set()
    assert "kg train" in library.status().stale[0]
    # Who has seen the test songs has seen them.
    looks = library.ask("MATCH (t:TestSplit) RETURN t.looks").rows
    assert looks == [[[first, second]]]
    with pytest.raises(NotReadyError, match="no model to predict with"):
        library.predict()
    assert library.train(QUICK).looks == Looks(3, 0)


def test_ids_may_be_shortened_but_not_ambiguous(trained: tuple[Library, list[str]]) -> None:
    library, (first, second) = trained
    assert library.use_model(first[-4:]).model.id == first
    with pytest.raises(WrongUsageError, match=rf"fits 2 models \({second}, {first}\)"):
        library.use_model(first[:2])
    for unknown in ("nonsense", ""):
        with pytest.raises(WrongUsageError, match="kg models list"):
            library.use_model(unknown)
    with pytest.raises(WrongUsageError, match="no model 'nonsense'"):
        library.remove_models([second, "nonsense"])
    assert folders(library) == {first, second}


def test_what_does_not_fit_is_listed_with_its_reason_and_refused(
    trained: tuple[Library, list[str]], music: Path, tmp_path: Path
) -> None:
    library, (first, second) = trained
    copy_as(library, first, "elsewhere", model="elsewhere")
    shutil.rmtree(library.settings.models_dir / first)
    _, oldest, foreign = library.models()
    assert (oldest.checkpoint, oldest.bytes) == (None, 0)
    assert oldest.misfit == "has no checkpoint on this machine"
    assert (foreign.state, foreign.misfit) == ("of another graph", "was trained on another library")
    assert foreign.created_at is not None
    for id, words in ((first, "no checkpoint on this machine"), ("elsewhere", "another library")):
        with pytest.raises(NotReadyError, match=rf"Model {id} can't be used: .*{words}"):
            library.use_model(id)

    shutil.copytree(library.settings.models_dir / second, library.settings.models_dir / first)
    assert library.models()[1].misfit == f"has the checkpoint of another model ({second})"
    (library.settings.models_dir / first / "config.json").write_text("{", encoding="utf-8")
    assert "damaged" in (library.models()[1].misfit or "")
    library.remove_models(["elsewhere", first])
    assert folders(library) == {second}

    shutil.copytree(music / GENRES[0], tmp_path / "more" / "polka")
    for file in (tmp_path / "more" / "polka").iterdir():
        file.write_bytes(file.read_bytes() + b"\0")  # another song, as far as anyone knows
    library.ingest(tmp_path / "more", genres_from="folder")
    with pytest.raises(NotReadyError, match=r"other genres .* came polka"):
        library.use_model(second)
    with pytest.raises(NotReadyError, match="other genres"):
        library.predict()
    assert predicted_by(library) == {second}


def test_a_folder_that_is_no_checkpoint_of_ours_is_never_deleted(
    trained: tuple[Library, list[str]], tmp_path: Path
) -> None:
    library, (first, _) = trained
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "letters.txt").write_text("dear")
    library.connection.write(
        lambda tx: tx.run(
            "MATCH (m:Model {id: $id}) SET m.checkpoint = $path", id=first, path=str(precious)
        ).consume()
    )
    library.remove_models(first)
    assert (precious / "letters.txt").read_text() == "dear"
    assert len(library.models()) == 2  # the other, and the checkpoint that nobody knows now


def test_a_checkpoint_that_can_not_be_deleted_keeps_its_node(
    trained: tuple[Library, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    library, (first, _) = trained

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as refused:
        refused.setattr("kg.learning.saved_models.shutil.rmtree", refuse)
        with pytest.raises(KgError, match=r"can't be deleted \(Permission denied\)"):
            library.remove_models(first)
    assert len(library.models()) == 2
    library.remove_models(first)
    assert len(library.models()) == 1


def test_a_use_that_was_cut_off_is_finished_by_predict(
    trained: tuple[Library, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    library, (first, second) = trained
    write = GraphStore.write_predictions

    def cut_off(self: GraphStore, model: str, created_at, guesses, *more) -> None:
        write(self, model, created_at, guesses[:10], *more)
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(GraphStore, "write_predictions", cut_off)
        with pytest.raises(KeyboardInterrupt):
            library.use_model(first)
    assert predicted_by(library) == {first, second}
    assert any("cut off" in line for line in library.status().stale)
    found = latest_model(library.store)
    assert found is not None
    assert found.id == first
    library.predict()
    assert predicted_by(library) == {first}


def test_where_models_are_kept_and_none_is_in_use_choosing_one_is_offered(
    trained: tuple[Library, list[str]], music: Path
) -> None:
    library, (first, second) = trained
    library.remove_models(second, force=True)
    for ask in (library.predict, library.evaluate):
        with pytest.raises(NotReadyError, match=r"No model is in use: .*kg models use ID"):
            ask()
    assert "kg models use ID" in library.status().stale[0]
    new = music.parent / "none-in-use.flac"
    write_song(new, GENRES[0], seconds=2.0, seed=77)
    assert "kg models use ID" in (library.add(new).without_model or "")
    library.use_model(first)
    assert library.predict().model.id == first


@pytest.mark.parametrize("name", ["model.safetensors", "layers.safetensors", "config.json"])
def test_a_checkpoint_that_lacks_a_file_is_listed_as_damaged(
    trained: tuple[Library, list[str]], name: str
) -> None:
    library, (_, second) = trained
    (library.settings.models_dir / second / name).unlink()
    assert "damaged" in (library.models()[0].misfit or "")
    with pytest.raises(NotReadyError, match=rf"{name} is missing\. Run `kg train`"):
        library.predict()


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"feature_version": "old", "genres": ["a", "b"]}, "other features (version old, the"),
        ({"feature_version": "v", "genres": ["a", "b", "c"]}, "(gone are c)"),
        ({"feature_version": "v", "genres": ["a"]}, "(since then came b)"),
        ({"feature_version": "v", "genres": list("cdefg")}, "came a, b; gone are c, d, e, ..."),
        ({"feature_version": "v"}, "doesn't say which genres"),
    ],
)
def test_why_a_checkpoint_does_not_fit(extra: dict[str, object], words: str) -> None:
    assert words in (misfit(extra, ["a", "b"], "v") or "")
    assert misfit({"feature_version": "v", "genres": ["a", "b"]}, ["a", "b"], "v") is None


def test_a_checkpoint_from_before_songs_were_named_beside_their_outputs(
    library: Library, music: Path, tmp_path: Path
) -> None:
    library.ingest(music)
    folder = Path(library.train(QUICK).model.checkpoint)
    now = checkpoint.load(folder)
    old = {**now.extra, "songs": list(now.names["song"])}
    del old["doubt"]
    checkpoint.save(folder, now.model, now.layers, old)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": 2}))
    new = write_song(tmp_path / "a.flac", GENRES[0], seconds=2.0, seed=70)
    (song,) = library.add(new).added
    assert len(song.guesses) == 3
    library.predict()
    again = checkpoint.load(folder)
    assert "songs" not in again.extra
    assert len(again.names["song"]) == 25
    checkpoint.save(folder, again.model, again.layers, again.extra)  # says of no song at all
    write_song(tmp_path / "b.flac", GENRES[0], seconds=2.0, seed=71)
    report = library.add(tmp_path / "b.flac")
    assert report.added[0].guesses == []
    assert "doesn't say of which songs" in (report.without_model or "")
    assert library.predict().predicted == 26
