"""Settings files: what is written is read again, and what can't be used is said in a sentence."""

import json
import os
from pathlib import Path

import pytest

from kg.compare.settings_file import Settings, check_target, configured, others, read, write
from kg.compare.spaces import SPACES, defaults_of
from kg.errors import KgError, WrongUsageError


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "s.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.mark.parametrize("model", SPACES)
def test_what_is_written_is_read_again(tmp_path: Path, model: str) -> None:
    settings = defaults_of(model)
    file = check_target(tmp_path / "a.json", model)
    write(file, {"model": model, "features": "mfcc", "settings": settings, "testSplit": "ab"})
    found = read(file, model)
    assert found.test_split == "ab"
    assert (found.model, found.features, found.settings) == (model, "mfcc", settings)
    assert [type(v) for v in found.settings.values()] == [type(v) for v in settings.values()]
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hiden": 32}, r"unknown setting 'hiden': did you mean hidden"),
        ({"zzz": 32}, r"unknown setting 'zzz': take epochs, patience"),
        ({"seed": 3}, "unknown setting 'seed'"),
        ({"messages": False}, "unknown setting 'messages'"),
        ({"hidden": "wide"}, "hidden must be a whole number, not 'wide'"),
        ({"hidden": 32.5}, "hidden must be a whole number, not 32.5"),
        ({"hidden": True}, "hidden must be a whole number, not True"),
        ({"hidden": None}, "hidden must be a whole number, not None"),
        ({"hidden": 0}, "hidden must be at least 1, not 0"),
        ({"layers": 4}, "layers must be 1, 2 or 3, not 4"),
        ({"bases": "x"}, "bases must be a whole number or null, not 'x'"),
        ({"dropout": 1}, r"dropout must be at least 0 and below 1, not 1.0"),
        ({"residual": 1}, "residual must be true or false, not 1"),
        ({"negatives": "some"}, "negatives must be a whole number or \"all\", not 'some'"),
        ({"learning_rate": 0}, "learning_rate must be above 0, not 0"),
        ({"learning_rate": [1]}, r"learning_rate must be a number, not \[1\]"),
        ({"weight_decay": -1}, "weight_decay must be at least 0, not -1"),
        ({"bases": 2, "blocks": 2}, "not into both"),
        ({"learning_rate": 1e308}, "learning_rate must be at most 1,000,000, not 1e[+]308"),
        ({"learning_rate": 10**400}, "learning_rate must be at most 1,000,000, not inf"),
        ({"negatives": 10**20}, "negatives must be at most 2,147,483,647, not 10{20}"),
        ({"hidden": [1] * 300_000}, r"a whole number, not \[1, 1, 1, 1, 1, 1, \.\.\.\]"),
        ({"hidden": "w" * 300_000}, r"a whole number, not 'w{20,30}\.\.\.w{20,30}'\.$"),
        ({"h" * 300_000: 1}, r"unknown setting 'h{20,30}\.\.\.h{20,30}': take"),
    ],
)
def test_settings_that_cannot_be_used(
    tmp_path: Path, settings: dict[str, object], words: str
) -> None:
    file = written(tmp_path, json.dumps({"model": "r-gcn", "settings": settings}))
    with pytest.raises(WrongUsageError, match=words) as refused:
        read(file, "r-gcn")
    assert str(refused.value).startswith(str(file))
    assert "\n" not in str(refused.value)


def test_lists_of_other_models() -> None:
    (config,) = configured("seal", {"neighbours": [10, 5]})
    assert config.neighbours == (10, 5)
    with pytest.raises(WrongUsageError, match="neighbours must be a list of whole numbers, not 3"):
        configured("seal", {"neighbours": 3})
    with pytest.raises(WrongUsageError, match='forms must be a list of "symmetric" or "rows"'):
        configured("label-propagation", {"forms": ["columns"]})
    with pytest.raises(WrongUsageError, match="alphas must be above 0 and below 1"):
        configured("label-propagation", {"alphas": [2]})
    with pytest.raises(WrongUsageError, match="neighbours must be at most 2,147,483,647"):
        configured("seal", {"neighbours": [10, 10**12]})
    with pytest.raises(WrongUsageError, match="settings: svm has no settings to choose: take r-gc"):
        configured("svm", {})


def test_settings_that_are_no_defaults() -> None:
    assert others("seal", {"neighbours": [10, 5], "hidden": 32}) == {"neighbours": (10, 5)}
    assert others("seal", defaults_of("seal")) == {}
    with pytest.raises(WrongUsageError, match="hidden must be a whole number"):
        others("seal", {"hidden": "wide"})


def test_what_is_to_be_known_of_settings_that_were_chosen_for_something_else() -> None:
    own = Settings("r-gcn", "all", {}, "abc")
    assert own.caution(["all"], "abc") == own.caution(["all"], "") == []
    (said,) = own.caution(["mel", "all"], "abc")
    assert said == "the settings of r-gcn were chosen for all, and here it learns from mel."
    (said,) = own.caution(["all"], "abd")
    assert "when other songs were test songs" in said
    assert Settings("r-gcn", None, {}).caution(["mel"], "abd") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "isn't JSON"),
        ('{"model": "r-gcn",\n "settings": {', "isn't JSON .line 2, column"),
        (b"\xff\xfe\x00", "isn't JSON"),
        ("[" * 200_000, "isn't JSON"),
        ('{"model": "r-gcn", "settings": {"dropout": NaN}}', "NaN is no number"),
        ("[1]", "holds no JSON object"),
        ("{}", "is no settings file: write"),
        ('{"model": "r-gcn", "settings": [1]}', "is no settings file: write"),
        ('{"model": "r-gcn", "setings": {}}', "unknown entry 'setings': did you mean settings"),
        ('{"model": "cnn", "settings": {}}', "settings of cnn, and those of r-gcn are wanted"),
        ('{"model": "r-gcn"}' + " " * (1 << 20), "far too large"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(WrongUsageError, match=words):
        read(written(tmp_path, text), "r-gcn")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(WrongUsageError, match=r"none\.json is not there\.$"):
        read(tmp_path / "none.json", "r-gcn")
    with pytest.raises(WrongUsageError, match="is a folder, not a file"):
        read(tmp_path, "r-gcn")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WrongUsageError, match="is a pipe or device"):
        read(tmp_path / "pipe", "r-gcn")


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "r-gcn.json"
    assert check_target(file, "r-gcn") == file
    for text in ("my notes", "{}", '{"model": "cnn", "settings": {}}'):
        file.write_text(text)
        with pytest.raises(WrongUsageError, match="holds no settings of r-gcn, so it is left"):
            check_target(file, "r-gcn")
        assert check_target(file, "r-gcn", force=True) == file
        assert file.read_text() == text
    write(file, {"model": "r-gcn", "settings": {"hidden": 32}})
    check_target(file, "r-gcn")
    with pytest.raises(WrongUsageError, match="is a folder: name a file"):
        check_target(tmp_path, "r-gcn", force=True)
    with pytest.raises(WrongUsageError, match=r"no folder .*: make it first"):
        check_target(tmp_path / "none" / "a.json", "r-gcn")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, "old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(KgError, match=r"can't be written .No space left"):
        write(file, {"model": "r-gcn", "settings": {}})
    assert file.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["s.json"]
