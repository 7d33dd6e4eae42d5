"""The examples run, learn and write a file; those of other libraries where these are installed."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

import binarize

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module(name)


def test_plain_pytorch(tmp_path, monkeypatch):
    plain = example("plain_pytorch", tmp_path, monkeypatch)
    assert plain.main(epochs=3, file="digits.onnx") > 60  # of ten classes
    images, labels = plain.digits()
    pixels = (255 * (images[1500:] + 1) / 2).round().byte().permute(0, 2, 3, 1).numpy()
    answers = binarize.predict("digits.onnx", pixels, top=1)
    right = [
        a.predictions[0].index == label for a, label in zip(answers, labels[1500:], strict=True)
    ]
    assert np.mean(right) > 0.6


@pytest.mark.filterwarnings("default")  # of theirs
@pytest.mark.parametrize(
    ("library", "name"),
    [("lightning", "lightning_module"), ("transformers", "transformers_trainer")],
)
def test_with_other_libraries(library, name, tmp_path, monkeypatch):
    pytest.importorskip(library)
    assert example(name, tmp_path, monkeypatch).main(epochs=2, file="digits.onnx") > 30
    assert (tmp_path / "digits.onnx").is_file()
