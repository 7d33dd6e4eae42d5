"""The plots: drawn from the estimators themselves, the same every time."""

from __future__ import annotations

import builtins
import re

import numpy as np
import pytest
import torch

from binarize import estimators
from binarize.errors import BinarizeError
from binarize.estimators.plot import plot


def curve(svg: str, name: str) -> np.ndarray:
    (path,) = re.findall(rf'<g id="{re.escape(name)}">\s*<path d="([^"]*)"', svg)
    return np.array(re.findall(r"[ML] (\S+) (\S+)", path), dtype=float)


def test_the_curve_is_the_surrogate_gradient(tmp_path):
    estimator = estimators.get("ab-tanh")
    plot([estimator], [1.0], tmp_path / "p.svg")
    points = curve((tmp_path / "p.svg").read_text(encoding="utf-8"), "ab-tanh-df-1")
    x = (points[:, 0] - points[0, 0]) / (points[-1, 0] - points[0, 0]) * 4 - 2
    slope = estimator.surrogate_grad(torch.from_numpy(x), 1.0).numpy()
    height = points[0, 1] - points[:, 1]  # y grows downwards in SVG
    scale = height.max() / (slope.max() - slope[0])
    np.testing.assert_allclose(height / scale + slope[0], slope, atol=0.02)


def test_the_same_plot_is_the_same_file(tmp_path):
    chosen = [estimators.get(name) for name in ("ste", "ede", "ab-tanh")]
    for name in ("a.svg", "b.svg"):
        plot(chosen, [0.0, 1.0], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_one_without_a_schedule_is_drawn_once(tmp_path):
    plot([estimators.get("ste"), estimators.get("ede")], [0.0, 0.5, 1.0], tmp_path / "p.svg")
    svg = (tmp_path / "p.svg").read_text(encoding="utf-8")
    assert len(re.findall(r'id="ste-df-', svg)) == 1
    assert len(re.findall(r'id="ede-df-', svg)) == 3


def test_png_too(tmp_path):
    plot([estimators.get("reste")], [0.5], tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["p.txt", "p", "p.SVG.gz"])
def test_another_kind_of_file_is_refused(tmp_path, name):
    with pytest.raises(BinarizeError, match="cannot plot into") as caught:
        plot([estimators.get("ste")], [0.0], tmp_path / name)
    assert ".svg or .png" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(BinarizeError, match="plots need matplotlib") as caught:
        plot([estimators.get("ste")], [0.0], tmp_path / "p.svg")
    assert caught.value.hint == 'pip install "binarize[plot]"'
    assert list(tmp_path.iterdir()) == []


def test_a_legend_only_where_there_is_something_to_tell_apart(tmp_path):
    for name, told in (("ste", False), ("ede", True)):
        plot([estimators.get(name)], [0.5], tmp_path / "p.svg")
        assert ("p = 0.5" in (tmp_path / "p.svg").read_text(encoding="utf-8")) == told
