"""Settings of a model in a JSON file: what `kg tune` writes; `kg train --config` and
`kg compare --config` take it."""

import difflib
import json
import reprlib
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from kg import outputs
from kg._version import __version__
from kg.compare.spaces import NOT_SETTINGS, SPACES, configs_of, defaults_of
from kg.errors import KgError, WrongUsageError
from kg.files import expanded, open_file, why_unreadable
from kg.text import printable

# Far more than any settings take.
MOST_BYTES = 1 << 20
# Beyond these, numbers don't fit where torch counts and computes (int32, float32).
MOST_WHOLE = 2**31 - 1
MOST_REAL = 1e6

# A wrong value is shown, but not a megabyte of it.
MOST_SHOWN = 60
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = MOST_SHOWN


@dataclass(frozen=True, slots=True)
class Settings:
    """What a settings file holds.

    Attributes:
        model: Whose settings.
        features: What it learned from when they were chosen; None: nobody says.
        settings: The settings, as the model's config takes them.
        test_split: Fingerprint of the library's test songs when they were chosen, which none of
            these had a part in; None: nobody says.
    """

    model: str
    features: str | None
    settings: Mapping[str, Any]
    test_split: str | None = None

    def caution(self, features: Sequence[str], test_split: str) -> list[str]:
        """What is to be known where they are used, in plain words.

        Args:
            features: What the model learns from now.
            test_split: Fingerprint of the test songs that it is measured on now; empty where it
                is measured on none.
        """
        said = []
        unlike = [name for name in features if name != self.features]
        if self.features is not None and unlike:
            said.append(
                f"the settings of {self.model} were chosen for {_brief(self.features)}, and here "
                f"it learns from {', '.join(unlike)}."
            )
        if test_split and self.test_split is not None and test_split != self.test_split:
            said.append(
                f"the settings of {self.model} were chosen when other songs were test songs: some "
                "of today's may have had a part in it, which flatters. `kg tune` chooses anew."
            )
        return said


_KEYS = (
    *("kg", "model", "features", "settings", "macroF1", "defaults", "trials", "folds", "seed"),
    "testSplit",
)


def read(path: Path, model: str | None = None) -> Settings:
    """Read the settings of a model.

    Args:
        path: The file.
        model: Whose settings they have to be; None: any model's that has some.

    Raises:
        WrongUsageError: it can't be read, isn't such a file, is of another model, or a setting is
            unknown or can't be as it is.
    """
    path = expanded(path)
    name = printable(path)
    document = _document(path)
    _refuse_unknown(document, _KEYS, name, "entry")
    there, settings = document.get("model"), document.get("settings")
    if not isinstance(there, str) or not isinstance(settings, dict):
        example = model or "r-gcn"
        raise WrongUsageError(
            f'{name} is no settings file: write {{"model": "{example}", "settings": {{...}}}}, or '
            f"let `kg tune --model {example}` write it."
        )
    if model is not None and there != model:
        raise WrongUsageError(
            f"{name} holds settings of {_brief(there)}, and those of {model} are wanted: "
            f"`kg tune --model {model}` finds some."
        )
    configs = configured(there, settings, name)
    features, split = document.get("features"), document.get("testSplit")
    return Settings(
        there,
        features if isinstance(features, str) else None,
        {field: _of(configs, field) for field in settings},
        split if isinstance(split, str) else None,
    )


def others(model: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings that aren't the model's defaults, as its config takes them.

    Raises:
        WrongUsageError: a setting is unknown, of the wrong type or out of range.
    """
    if not settings:
        return {}
    configs, defaults = configured(model, settings), defaults_of(model)
    found = {name: _of(configs, name) for name in settings}
    return {name: value for name, value in found.items() if value != defaults[name]}


def configured(model: str, settings: Mapping[str, Any], where: str = "settings") -> tuple[Any, ...]:
    """The configs of a model with these settings instead of its defaults.

    Args:
        model: Whose settings.
        settings: Values by name; lists stand for tuples, as in JSON.
        where: Where they come from, for what is said of a wrong one.

    Raises:
        WrongUsageError: a setting is unknown, of the wrong type or out of range.
    """
    if model not in SPACES:
        raise WrongUsageError(
            f"{where}: {_brief(model)} has no settings to choose: take {', '.join(SPACES)}."
        )
    configs = configs_of(model)
    known = [
        field.name
        for config in configs
        for field in fields(config)
        if field.name not in NOT_SETTINGS
    ]
    _refuse_unknown(settings, known, where, "setting")
    found = []
    for config in configs:
        hints = get_type_hints(type(config))
        own = {
            name: _value(name, value, hints[name], where)
            for name, value in settings.items()
            if name in hints
        }
        try:
            found.append(replace(config, **own))
        except ValueError as error:
            raise WrongUsageError(f"{where}: {error}.") from error
    return tuple(found)


def check_target(path: Path, model: str, *, force: bool = False) -> Path:
    """Whether settings can be written there, before any work.

    A settings file of the same model is replaced: the same command may be run again.

    Returns:
        Where to.

    Raises:
        WrongUsageError: there is another file already, or none can be written there.
    """
    path = outputs.check_target(path, "the settings")
    if not force and path.exists() and not _holds_settings_of(path, model):
        raise WrongUsageError(
            f"{printable(path)} is there already and holds no settings of {model}, so it is left "
            "alone: choose another name with --out FILE, or replace it with --force."
        )
    return path


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write a settings file; one that is there is replaced when the new one is whole.

    Args:
        path: From `check_target`.
        document: All but the version of kg.

    Raises:
        KgError: it can't be written.
    """
    text = json.dumps({"kg": __version__, **document}, indent=2, ensure_ascii=False)
    try:
        with outputs.appearing(path) as file:
            file.write(f"{text}\n".encode())
    except OSError as error:
        raise KgError(
            f"{printable(path)} can't be written ({error.strerror}): the trials are kept, and the "
            "same command with another --out FILE writes them at once."
        ) from error


def _document(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        WrongUsageError: there is none.
    """
    name = printable(path)
    try:
        with open_file(path) as file:
            raw = file.read(MOST_BYTES + 1)
            if file.error is not None:
                raise file.error
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        why = "not there" if missing else why_unreadable(error)
        is_ = "" if why.startswith("can't") else "is "
        raise WrongUsageError(f"The settings file {name} {is_}{why}.") from error
    if len(raw) > MOST_BYTES:
        raise WrongUsageError(f"{name} is no settings file: it is far too large.")
    try:
        found = json.loads(raw, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise WrongUsageError(
            f"{name} isn't JSON (line {error.lineno}, column {error.colno}: {error.msg}): mend it, "
            "or let `kg tune` write it anew."
        ) from error
    except (ValueError, RecursionError) as error:  # not Unicode, NaN, endless digits or brackets
        raise WrongUsageError(
            f"{name} isn't JSON ({error}): mend it, or let `kg tune` write it anew."
        ) from error
    if not isinstance(found, dict):
        raise WrongUsageError(f"{name} is no settings file: it holds no JSON object.")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _holds_settings_of(path: Path, model: str) -> bool:
    try:
        found = _document(path)
    except WrongUsageError:
        return False
    return found.get("model") == model and isinstance(found.get("settings"), dict)


def _refuse_unknown(
    given: Iterable[str], known: Iterable[str], where: str, what: Literal["entry", "setting"]
) -> None:
    names = list(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
            offered = f"did you mean {' or '.join(near)}?" if near else f"take {', '.join(names)}."
            raise WrongUsageError(f"{where} has an unknown {what} {_SHORT.repr(name)}: {offered}")


def _brief(name: str) -> str:
    return printable(name if len(name) <= MOST_SHOWN else f"{name[:MOST_SHOWN]}...")


def _of(configs: tuple[Any, ...], name: str) -> Any:
    return next(getattr(config, name) for config in configs if hasattr(config, name))


@cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint)


def _value(name: str, value: Any, hint: Any, where: str) -> Any:
    """A value as a config's field takes it."""
    try:
        text = json.dumps(value, allow_nan=False)
        found = _adapter(hint).validate_json(text, strict=True)
    except (ValidationError, TypeError, ValueError) as error:
        raise WrongUsageError(
            f"{where}: {name} must be {_words(hint)}, not {_SHORT.repr(value)}."
        ) from error
    # Not every config refuses what can't be learned with.
    for number in found if isinstance(found, tuple) else (found,):
        if isinstance(number, int | float):
            _refuse_range(name, number, where)
    return found


def _refuse_range(name: str, number: float, where: str) -> None:
    shown = _SHORT.repr(number)
    if number < 0 or (name == "learning_rate" and number == 0):
        least = "above 0" if name == "learning_rate" else "at least 0"
        raise WrongUsageError(f"{where}: {name} must be {least}, not {shown}.")
    most = MOST_WHOLE if isinstance(number, int) else MOST_REAL
    if not number <= most:
        raise WrongUsageError(f"{where}: {name} must be at most {most:,.0f}, not {shown}.")


def _words(hint: Any) -> str:
    """A type in plain words."""
    plain = {int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}
    origin, parts = get_origin(hint), get_args(hint)
    if hint in plain:
        return plain[hint]
    if origin in (Union, types.UnionType):
        return " or ".join(_words(part) for part in parts)
    if origin is Literal:
        return " or ".join(json.dumps(part) for part in parts)
    if origin is tuple:
        inner = {"a whole number": "whole numbers", "a number": "numbers"}
        return f"a list of {inner.get(_words(parts[0]), _words(parts[0]))}"
    return str(hint)
