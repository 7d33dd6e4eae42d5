"""The table of estimators, and what it says to someone who asks for the wrong thing."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from binarize import estimators
from binarize.errors import EstimatorError

every_estimator = pytest.mark.parametrize("kind", estimators.TABLE.values(), ids=estimators.TABLE)


NAMES = [
    "ste",
    "clipped-ste",
    "approx-sign",
    "swish-sign",
    "ede",
    "reste",
    "fda",
    "recu",
    "rbnn",
    "dsq",
    "ab-tanh",
    "ab-arctan",
]


def test_the_table_holds_the_twelve():
    assert list(estimators.TABLE) == NAMES


@every_estimator
def test_an_entry_says_what_it_is(kind):
    for words in (kind.name, kind.source, kind.formula, kind.__doc__):
        assert words.strip()
    assert kind.__doc__.startswith(("f(x)", "AB-"))
    assert all(constant.meaning for constant in kind.constants())


@every_estimator
def test_an_entry_says_that_it_has_a_schedule_exactly_when_progress_matters(kind):
    x = torch.linspace(-2, 2, 41)
    changes = not torch.equal(kind().surrogate_grad(x, 0.1), kind().surrogate_grad(x, 0.9))
    assert bool(kind.schedule) == changes


@every_estimator
def test_an_entry_is_a_frozen_value(kind):
    assert kind() == estimators.get(kind.name)
    assert hash(kind()) == hash(kind())
    with pytest.raises(dataclasses.FrozenInstanceError):
        kind().anything = 1


@pytest.mark.parametrize("name", ["ab-tanh", "ab-arctan"])
def test_ab_ste_is_called_a_reconstruction(name):
    kind = estimators.TABLE[name]
    assert "reconstruction" in kind.source
    assert "reconstruction" in kind.__doc__


BLEND = {
    "a_start": (0.5, "0 < a_start < 1"),
    "k_start": (1.0, "0 < k_start"),
    "clip": (None, "0 < clip"),
    "adaptive": ("schedule", "schedule, statistics, learned"),
}
CONSTANTS = {
    "ste": {},
    "clipped-ste": {"c": (1.0, "0 < c")},
    "approx-sign": {},
    "swish-sign": {"b": (5.0, "0 < b")},
    "ede": {"t_min": (0.1, "0 < t_min"), "t_max": (10.0, "0 < t_max")},
    "reste": {"o_end": (3.0, "1 <= o_end"), "t": (1.5, "0 < t"), "m": (0.1, "0 < m")},
    "fda": {
        "w": (0.1, "0 < w"),
        "n_start": (9, "0 <= n_start"),
        "n_end": (18, "0 <= n_end"),
        "clip": (1.0, "0 < clip"),
    },
    "recu": {
        "tau_min": (0.85, "0.5 < tau_min < 1"),
        "tau_max": (0.99, "0.5 < tau_max < 1"),
        "gain": (2 * math.sqrt(2), "0 < gain"),
    },
    "rbnn": {"t_min": (0.01, "0 < t_min"), "t_max": (10.0, "0 < t_max")},
    "dsq": {"a_start": (0.2, "0 < a_start < 1"), "delta": (2.0, "0 < delta")},
    "ab-tanh": {**BLEND, "a_end": (0.8, "0 <= a_end <= 1"), "k_end": (5.0, "0 < k_end")},
    "ab-arctan": {**BLEND, "a_end": (0.9, "0 <= a_end <= 1"), "k_end": (7.0, "0 < k_end")},
}


def test_the_constants_are_those_of_the_source():
    """A recipe that names none means these, for good."""
    listed = {
        name: {each.name: (each.default, each.range) for each in kind.constants()}
        for name, kind in estimators.TABLE.items()
    }
    assert listed == CONSTANTS


def test_constants_can_be_given():
    assert estimators.get("ab-tanh", a_end=0.5, k_end=9) == estimators.TABLE["ab-tanh"](0.5, 1.0, 9)
    assert estimators.get("reste") != estimators.get("reste", o_end=5)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ab-tan", 'did you mean "ab-tanh"?'),
        ("STE", f"the estimators are {', '.join(NAMES)}"),
    ],
)
def test_an_unknown_name(name, hint):
    with pytest.raises(EstimatorError) as caught:
        estimators.get(name)
    assert caught.value.message == f'there is no estimator "{name}"'
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("name", "constant", "hint"),
    [
        ("ab-tanh", "kend", 'did you mean "k_end"?'),
        ("reste", "zzz", "it takes o_end, t, m"),
        ("ste", "c", "it takes none"),
    ],
)
def test_an_unknown_constant(name, constant, hint):
    with pytest.raises(EstimatorError) as caught:
        estimators.get(name, **{constant: 1.0})
    assert caught.value.message == f'estimator "{name}" has no constant "{constant}"'
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("name", "constants", "rule"),
    [
        ("clipped-ste", {"c": 0}, "0 < c"),
        ("clipped-ste", {"c": None}, "0 < c"),
        ("ede", {"t_min": -1.0}, "0 < t_min"),
        ("ede", {"t_max": 0.05}, "t_min <= t_max"),
        ("reste", {"o_end": 0.5}, "1 <= o_end"),
        ("reste", {"t": float("nan")}, "0 < t"),
        ("reste", {"m": 2.0}, "m <= t"),
        ("ab-tanh", {"a_end": 1.5}, "0 <= a_end <= 1"),
        ("ab-tanh", {"a_end": "0.8"}, "0 <= a_end <= 1"),
        ("ab-tanh", {"k_start": float("inf")}, "0 < k_start"),
        ("ab-arctan", {"k_end": True}, "0 < k_end"),
        ("ab-arctan", {"clip": 0.0}, "0 < clip"),
        ("ab-tanh", {"a_start": 1.0}, "0 < a_start < 1"),
        ("swish-sign", {"b": 0}, "0 < b"),
        ("fda", {"n_end": -1}, "0 <= n_end"),
        ("fda", {"w": 4}, "w·clip < pi"),
        ("recu", {"tau_min": 0.5}, "0.5 < tau_min < 1"),
        ("recu", {"tau_max": 0.8}, "tau_min <= tau_max"),
        ("rbnn", {"t_max": 0.001}, "t_min <= t_max"),
        ("dsq", {"a_start": 0}, "0 < a_start < 1"),
        ("dsq", {"delta": -2.0}, "0 < delta"),
    ],
)
def test_a_constant_out_of_its_range(name, constants, rule):
    (constant,) = constants
    with pytest.raises(EstimatorError) as caught:
        estimators.get(name, **constants)
    assert f"cannot take {constant} = " in caught.value.message
    assert caught.value.hint == f"{constant} must be a number with {rule}"


@pytest.mark.parametrize("value", ["learnt", "", 1, None, True])
def test_a_choice_takes_its_words_alone(value):
    with pytest.raises(EstimatorError) as caught:
        estimators.get("ab-tanh", adaptive=value)
    assert caught.value.message == f'estimator "ab-tanh" cannot take adaptive = {value!r}'
    assert caught.value.hint == "adaptive must be one of schedule, statistics, learned"


@every_estimator
def test_the_names_of_what_is_learned_do_not_hang_on_values(kind):
    first = kind().learned()
    assert all(isinstance(value, float) for value in first.values())
    assert all(name.isidentifier() for name in first)


@pytest.mark.parametrize(
    ("name", "constant", "value"),
    [
        ("ab-tanh", "a_start", 1.0),
        ("ab-tanh", "a_start", 1.5),
        ("ab-arctan", "k_end", 0.0),
        ("ab-arctan", "k_end", -1.0),
    ],
)
def test_the_ends_of_an_open_range_are_out_of_it(name, constant, value):
    with pytest.raises(EstimatorError, match=constant):
        estimators.get(name, **{constant: value})
