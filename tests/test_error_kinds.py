"""The errors: one tree, a message and a hint each."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from binarize import errors
from binarize.errors import BinarizeError, did_you_mean

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if kind.__module__ == errors.__name__ and kind is not BinarizeError
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_kind_has_its_place_in_the_tree_its_message_and_its_hint(kind):
    error = kind("no such thing", "try another")
    assert isinstance(error, BinarizeError)
    assert (error.message, error.hint, str(error)) == (
        "no such thing",
        "try another",
        "no such thing",
    )
    assert kind("no such thing").hint == ""


def test_the_modules_docstring_draws_the_whole_tree():
    drawn = [line.split()[0] for line in errors.__doc__.splitlines() if line.startswith("      ")]
    assert sorted(drawn) == sorted(kind.__name__ for kind in KINDS)
    for kind in KINDS:
        assert kind.__doc__.rstrip(".").lower() in errors.__doc__.lower()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("ab-tan", 'did you mean "ab-tanh"?'),
        ("reste ", 'did you mean "reste"?'),
        ("something", ""),
        ("", ""),
    ],
)
def test_did_you_mean(word, said):
    assert did_you_mean(word, ("ste", "reste", "ab-tanh")) == said


def test_did_you_mean_takes_any_iterable():
    assert did_you_mean("leyer1", (name for name in ("layer1", "fc"))) == 'did you mean "layer1"?'


@pytest.mark.parametrize("module", ["errors", "run", "packing"])
def test_the_leaves_import_no_torch(module):
    code = f"import sys, binarize.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
