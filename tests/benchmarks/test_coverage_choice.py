"""Which models a coverage run takes, and how it reads its own lines back."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import coverage_level3
import coverage_lines
import coverage_models


def line(name, module, parameters, cls, *reasons):
    modes = {"W1A32": {"kept": {reason: {"Conv2d": 1} for reason in reasons}}}
    about = {"model": name, "module": module, "parameters": parameters, "class": cls}
    return {**about, "signature": ["Conv2d"], "modes": modes}


def test_all_classification_models_and_none_of_binarizes_own():
    names = coverage_models.names()
    assert {"resnet18", "torchvision/vgg11", "vit_7b_patch16_dinov3"} <= set(names)
    assert not any(name.startswith("cifar_") for name in names)
    assert not any("rcnn" in name for name in names)
    assert (len(names), len(set(names))) == (1451, 1451)
    assert len({coverage_models.module_of(name) for name in names}) == 115


def test_tier_2_has_the_smallest_of_each_module_and_of_what_these_lack():
    lines = [
        line("a", "m", 3, "Net"),
        line("b", "m", 2, "Net"),
        line("c", "m", 5, "Net", "depthwise"),
        line("d", "m", 4, "Net", "depthwise"),
        line("e", "n", 1, "Other"),
        line("f", "n", 6, "Net"),
        line("g", "n", 7, "Third"),
    ]
    assert coverage_models.smallest_of_modules(lines) == ["e", "b"]
    assert coverage_models.level2_models(lines) == ["e", "b", "d", "g"]


def test_level_3_has_the_smallest_of_each_class_and_other_modules_first():
    lines = [
        line("a", "m", 1, "Net"),
        line("b", "m", 2, "Net"),
        line("c", "m", 3, "Other"),
        line("d", "n", 9, "Net"),
    ]
    assert coverage_models.level3_models(lines) == ["a", "d", "c"]


def net() -> nn.Module:
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    module.register_buffer("table", torch.arange(3), persistent=False)
    return module


def test_level_3_sees_whatever_differs():
    one = net()
    assert coverage_level3.require_equal(copy.deepcopy(one), one) == 3
    changes = {
        "other values": lambda m: m[0].weight.data.add_(1),
        "instead of torch.int64": lambda m: setattr(m, "table", m.table.int()),
        "in one of them": lambda m: m.register_buffer("more", torch.zeros(1)),
        "share a tensor": lambda m: setattr(m[1], "weight", m[0].weight),
    }
    for words, change in changes.items():
        one[1].weight.data.copy_(one[0].weight)  # as the tied one has it
        other = copy.deepcopy(one)
        change(other)
        with pytest.raises(ValueError, match=words):
            coverage_level3.require_equal(other, one)


def test_the_models_of_all_modules_come_in_turn():
    lines = [
        line(name, module, size, "Net")
        for name, module, size in (
            ("a", "m", 1),
            ("b", "m", 2),
            ("c", "m", 3),
            ("d", "n", 9),
            ("e", "n", 10),
        )
    ]
    assert coverage_models.in_turn(lines) == ["a", "d", "b", "e", "c"]


def test_the_last_outcome_of_every_mode_counts(tmp_path):
    path = tmp_path / "lines.jsonl"
    for modes in ({"x": 1, "y": 2}, {"y": 3}):
        coverage_lines.append(path, {"model": "a", "modes": modes})
    assert coverage_lines.entries(path)["a"]["modes"] == {"x": 1, "y": 3}
    assert coverage_lines.entries(tmp_path / "absent.jsonl") == {}


def test_a_line_says_when_and_with_what_it_was_measured(tmp_path):
    path = tmp_path / "lines.jsonl"
    coverage_lines.append(path, {"model": "a"})
    entry = coverage_lines.entries(path)["a"]
    assert {"date", "cpu", "versions"} <= entry.keys()
    assert entry["versions"]["timm"]
