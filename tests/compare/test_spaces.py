"""What is tried: names are fields of the configs, defaults lie inside, every corner can be used."""

import itertools
import json

import pytest

from kg.compare.contestants import contestants
from kg.compare.settings_file import configured
from kg.compare.spaces import NOT_SETTINGS, SPACES, Choice, Real, Setting, Whole, defaults_of


def corners(setting: Setting) -> tuple[object, ...]:
    if isinstance(setting, Choice):
        return setting.options
    return setting.low, setting.high


@pytest.mark.parametrize("model", SPACES)
def test_defaults_lie_inside(model: str) -> None:
    assert model in contestants()
    defaults = defaults_of(model)
    assert set(SPACES[model]) <= set(defaults)
    assert not NOT_SETTINGS & set(defaults)
    for name, setting in SPACES[model].items():
        value = defaults[name]
        if isinstance(setting, Choice):
            assert value in setting.options, name
            # as files and Optuna keep them
            assert len({json.dumps(each) for each in setting.options}) == len(setting.options)
        elif isinstance(setting, Whole):
            assert value in range(setting.low, setting.high + 1, setting.step), name
            assert (setting.high - setting.low) % setting.step == 0, name
        else:
            assert isinstance(setting, Real)
            assert setting.low <= value <= setting.high, name


@pytest.mark.parametrize("model", SPACES)
def test_every_corner_can_be_used(model: str) -> None:
    space = SPACES[model]
    for values in itertools.product(*(corners(setting) for setting in space.values())):
        configured(model, dict(zip(space, values, strict=True)))


def test_models_that_are_not_there_choose_their_own_settings() -> None:
    left = set(contestants()) - set(SPACES)
    assert left == {"majority", "knn", "logistic", "svm", "boosting"}
    with pytest.raises(ValueError, match="svm has no settings"):
        defaults_of("svm")
