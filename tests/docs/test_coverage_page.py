"""docs/coverage.md is what the lines of benchmarks/coverage.py say."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import pytest
from docs_code import DOCS

SAY = "run: python docs/coverage.py"

MEASURED = {
    "date": "2026-01-02",
    "cpu": "a processor",
    "versions": dict.fromkeys(("torch", "torchvision", "timm", "onnx", "onnxruntime"), "1.0"),
}
WORKS = {"binarized": {"Conv2d": 3}, "kept": {"first layer": {"Conv2d": 1}}, "seconds": 1.0}
RUNS = {
    "image": [3, 96, 96],
    "convert": {"binarized": 3, "kept": 1},
    "export": {"parity": "exact"},
    "runtime": {"1": 1e-7, "2": 3e-7, "3": 2e-7},
    "train": {"loss": 7.0},
}


def line(name: str, **modes: dict[str, Any]) -> dict[str, Any]:
    about = {"model": name, "module": "timm.models.resnet", "parameters": 2_500_000}
    return {**about, "modes": modes, **MEASURED}


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_page", DOCS / "coverage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RETURNS = {
    "image": [96, 96],
    "write": {"bytes": 9},
    "load": {"tensors": 5},
    "resume": {"loss": 7.0},
}


def page(maker: ModuleType, level1: list[dict], level2: list[dict], level3=()) -> list[str]:
    files = (level1, level1, level2, level3)
    lines = [{entry["model"]: entry for entry in entries} for entries in files]
    return maker.page(*lines).splitlines()


def test_the_page_is_what_the_lines_say(maker):
    assert maker.from_lines() == (DOCS / "coverage.md").read_text(encoding="utf-8"), SAY


def test_what_passes_is_counted_and_nothing_is_said_to_fail(maker):
    first, choice = [line("a", W1A32=WORKS), line("b", W1A32=WORKS)], [line("a", W1A32=RUNS)]
    text = page(maker, first, choice, [line("b", W1A32=RETURNS)])
    assert "| `W1A32` | 2 of 2 | 1 of 1 | 1 of 1 |" in text
    assert "| first layer | 2 | 2 | `Conv2d` |" in text
    assert "| `timm.resnet` | 2 / 2 |  |  | 75 % |" in text
    assert "| `a` | 2.5 M | 96 | 3.0e-07 |  |  |" in text
    assert "Nothing." in text


def test_what_fails_is_named_with_its_stage_and_its_cause(maker):
    refused = {"error": "ExportError", "reason": "no such operator"}
    fails = {**RUNS, "export": refused, "float": {"error": "RuntimeError", "reason": "neither"}}
    lost = {**RETURNS, "load": {"error": "ValueError", "reason": '"x" has other values'}}
    text = page(
        maker,
        [line("a", W1A32={"error": "E", "reason": "why"})],
        [line("a", W1A32=fails)],
        [line("a", W1A32=lost)],
    )
    assert "| `W1A32` | 0 of 1 | 0 of 1 | 0 of 1 |" in text
    assert '- level 3, `a`, `W1A32`: load: ValueError: "x" has other values' in text
    assert "- level 1, `a`, `W1A32`: E: why" in text
    said = "- level 2, `a`, `W1A32`: export: ExportError: no such operator. "
    assert said + "So does the float model: RuntimeError: neither" in text
    assert "| `a` | 2.5 M | 96 | **export** |  |  |" in text
    assert "Nothing." not in text
