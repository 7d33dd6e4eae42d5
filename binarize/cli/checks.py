"""`binarize checks`: versions and hardware, and a self-test of the whole pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from binarize.cli import render
from binarize.cli.progress import working

EXAMPLES = """
binarize checks
binarize checks --json
"""
MODEL = "cifar_resnet20"


def command(as_json: render.Json = False) -> None:
    """Show versions, devices and CPU features, then binarize, export and run a tiny network.

    This needs no network access and leaves no files behind. It does not test whether pretrained weights
    can be downloaded.
    """
    from binarize import environment

    facts = environment.describe()
    facts["native_kernels"] = _kernels()
    for title, values in facts.items():
        render.table(
            (title.replace("_", " "), "value"),
            ((name, _words(value)) for name, value in values.items()),
            prose=("value",),
        )
    with working(f"self-test: binarize, export and run {MODEL}"):
        result = self_test()
    if result["passed"]:
        difference = f"max |diff| to torch {result['max_abs_diff']:.2g}"
        render.say(f"self-test passed: {MODEL} binarized, exported and run, {difference}")
    else:
        render.say(f"self-test FAILED: {result['why']}")
    if as_json:
        render.emit_json({**facts, "self_test": result})
    render.next_command("binarize convert resnet18")
    if not result["passed"]:
        raise typer.Exit(1)


def _kernels() -> dict[str, Any]:
    from binarize import kernels

    path = kernels.installed()
    if path is None:
        return {
            "present": False,
            "why": "no C++17 compiler was at hand when binarize was installed",
        }
    return {"present": True, "tier": kernels.tier(), "library": str(path)}


def self_test() -> dict[str, Any]:
    """Convert `MODEL` with random weights, export it, compare torch with onnxruntime."""
    import tempfile

    import binarize
    from binarize.errors import BinarizeError

    with tempfile.TemporaryDirectory() as folder:
        try:
            model = binarize.convert(MODEL, pretrained=False)
            report = binarize.export(model, Path(folder) / "model.onnx")
        except BinarizeError as problem:
            return {"passed": False, "model": MODEL, "max_abs_diff": None, "why": problem.message}
    return {"passed": True, "model": MODEL, "max_abs_diff": report.max_abs_diff}


def _words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
