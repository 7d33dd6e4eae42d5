"""Good runs, to be copied and spoilt, and what makes commands on them quick enough for a thousand cases."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from forks import FINE, Outcome, in_fork
from judge import Enough

PREFIX = "binarize."
FIXTURE = Path(__file__).parents[1] / "run" / "v0.1.0"
STEPS = 3
"""After which a training has shown that it can."""


@dataclass(frozen=True)
class Base:
    """A good run, and what it says about itself.

    Attributes:
        run: with weights, reports' tables and an ONNX file.
        unfinished: one of which some epochs are left to train.
        file: the ONNX file; `described`: what its metadata say.
    """

    name: str
    run: Path
    unfinished: Path
    file: onnx.ModelProto
    described: dict[str, Any]


def bases(folder: Path, made: bool) -> list[Base]:
    """The stored run of binarize 0.1.0, in format 1; with `made` one with ±1 inputs and edited blocks too."""
    stored = _base("0.1.0", FIXTURE / "trained", FIXTURE / "interrupted")
    return [stored, _edited(folder)] if made else [stored]


def _base(name: str, run: Path, unfinished: Path) -> Base:
    file = onnx.load(run / "model.onnx")
    described = {
        entry.key.removeprefix(PREFIX): json.loads(entry.value)
        for entry in file.metadata_props
        if entry.key.startswith(PREFIX)
    }
    return Base(name, run, unfinished, file, described)


def _edited(folder: Path) -> Base:
    """Trained for two epochs, of which `unfinished` has one."""
    from binarize.exporting import export
    from binarize.recipe import load
    from binarize.training import train

    run, unfinished = folder / "edited", folder / "edited-unfinished"
    kwargs = {"blocks": 1, "channels": [4, 8, 16]}
    recipe = {
        "data": {"name": "digits", "img_size": 16, "batch_size": 1024, "workers": 0},
        "model": {"name": "cifar_resnet20", "pretrained": False, "kwargs": kwargs},
        "binarize": {"estimator": "ab-tanh", "activations": "sign", "structure": "bireal"},
        "stages": [
            {"epochs": 2, "optimizer": {"name": "adamw", "lr": 0.01}, "ema": {"decay": 0.9}}
        ],
        "engine": {"threads": 1},
    }

    def make() -> Outcome:
        with short(steps=1), contextlib.suppress(Enough):
            train(load(recipe), out=unfinished)
        shutil.copytree(unfinished, run)
        train(resume=run)
        export(run, run / "model.onnx")
        return Outcome(FINE)

    made = in_fork(
        make, seconds=120
    )  # torch's backward pass does not work in a fork of one that ran it
    assert made.kind == FINE, made.words
    return _base("edited", run, unfinished)


def warm(*commands: list[str]) -> None:
    """Run commands in this process, so that not every fork has to import what they use.

    Trainings end before their first step: torch's backward pass does not work in a fork of one that ran it.
    """
    from binarize import environment
    from binarize.cli.app import main

    environment.describe()  # asks a program for the processor's name
    for argv in commands:
        said = io.StringIO()
        hidden = contextlib.redirect_stdout(said), contextlib.redirect_stderr(said)
        with short(steps=0), hidden[0], hidden[1]:
            try:
                code = main(argv)
            except Enough:
                code = 0
        assert code == 0, said.getvalue()


@contextlib.contextmanager
def short(steps: int = STEPS) -> Iterator[None]:
    """In this block a training ends after so many steps."""
    from binarize.training.stages import RunningStage

    step, done = RunningStage.step, []

    def counted(self: RunningStage, *args: Any) -> Any:
        done.append(1)
        if len(done) > steps:
            raise Enough
        return step(self, *args)

    RunningStage.step = counted  # type: ignore[method-assign]
    try:
        yield
    finally:
        RunningStage.step = step  # type: ignore[method-assign]


@contextlib.contextmanager
def quick() -> Iterator[None]:
    """In this block the digits, and torch's export and the float file of each network, are made once for all
    cases, and no subprocess measures memory. These take most of the time and read nothing of a run."""
    import onnx_ir as ir

    from binarize.benching import lineup, measure
    from binarize.data import datasets
    from binarize.exporting import exporting

    kept = lineup.float_entry, measure.peak_bytes, exporting.to_graph, datasets.digits
    float_entry, _, to_graph, digits = kept
    graphs: dict[str, Any] = {}
    built: dict[str, bytes] = {}

    def float_once(file: Any, place: Path) -> Any:
        text = json.dumps(file.info.replace(weights="", classes=[]).to_json(), sort_keys=True)
        if text in built:
            copied = place / "0-float.onnx"
            copied.write_bytes(built[text])
            return lineup.Entry(file.name, copied, "float", False, file.architecture, True, False)
        entry = float_entry(file, place)
        built[text] = entry.path.read_bytes()
        return entry

    def graph_once(model: Any, frozen: Any, *args: Any) -> Any:
        tensors = [
            (k, tuple(v.shape), float(v.double().sum())) for k, v in model.state_dict().items()
        ]
        key = repr((model, sorted(frozen), tensors, args))
        if key not in graphs:
            graphs[key] = ir.to_proto(to_graph(model, frozen, *args))
        return ir.from_proto(graphs[key])

    exporting.to_graph = graph_once
    lineup.float_entry, measure.peak_bytes = float_once, lambda *_: None
    datasets.digits = functools.cache(digits)
    try:
        yield
    finally:
        lineup.float_entry, measure.peak_bytes, exporting.to_graph, datasets.digits = kept
