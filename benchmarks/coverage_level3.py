"""Level 3: a model by way of a run on disk: convert, load, export, train a step, load what that made.

Level 2 keeps its model in memory, and so misses what is lost between two processes. The outcome of a mode:

    image      what it was run on: the model's own size, or a smaller one where it takes that
    write      `binarize.convert` wrote a run; its bytes
    load       the run was built and loaded: every parameter and buffer, saved or not, is what was written
               to the bit, the same names share a tensor, and so are the logits of noise
    export     what `binarize.export` says about the file that it made of the run
    resume     after an SGD step the weights were saved, loaded into the run built once more, and are the same

A stage that failed is {"error", "reason"}, and what needs it is not there. With `--no-export`, which takes a
third of the time, there is no `export`: what is equal in all its tensors exports as level 2 says.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from coverage_level2 import train_step
from coverage_lines import Line
from coverage_models import quick_size
from coverage_modes import options
from coverage_worker import attempt
from torch import Tensor, nn

from binarize import api
from binarize.exporting import export
from binarize.models import logits_of
from binarize.rewrite import SourceOptions, image_size
from binarize.run.weights import load_weights, save_weights

SEED = 3
"""Of what is built again: what is random and not saved differs."""


def measure(job: dict[str, Any]) -> Line:
    """The line of `job["model"]` for the modes of `job["modes"]`."""
    return {"modes": {mode: _mode(job["model"], mode, job["export"]) for mode in job["modes"]}}


def _mode(name: str, mode: str, exported: bool) -> Line:
    began = time.monotonic()
    width = quick_size(name)
    outcome: Line = {"image": [width, width]}
    with tempfile.TemporaryDirectory() as directory:
        run = Path(directory) / "run"
        written: list[nn.Module] = []
        outcome["write"] = attempt(_write, name, mode, width, run, written)
        if written:
            size = image_size(written[0], width)
            outcome["load"] = attempt(_load, run, written[0], size)
            written.clear()
            if exported:
                outcome["export"] = attempt(_export, run, Path(directory) / "model.onnx")
            outcome["resume"] = attempt(_resume, run, Path(directory) / "after.safetensors", size)
    return {**outcome, "seconds": round(time.monotonic() - began, 1)}


def _write(name: str, mode: str, width: int, run: Path, written: list[nn.Module]) -> Line:
    given = SourceOptions(pretrained=False, img_size=width)
    saved = api.convert_to_run(name, options(mode), given, out=run)
    written.append(saved.conversion.model)
    return {"bytes": sum(file.stat().st_size for file in run.iterdir())}


def _load(run: Path, written: nn.Module, size: tuple[int, ...]) -> Line:
    torch.manual_seed(SEED)
    loaded = api.load(run)
    images = torch.randn(2, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        one, other = logits_of(loaded(images)), logits_of(written.eval()(images))
    if not torch.equal(one, other):
        raise ValueError(f"logits differ by {(one - other).abs().max():.2e}")
    return {"tensors": require_equal(loaded, written)}  # after they ran, as in `_resume`


def _export(run: Path, file: Path) -> Line:
    result = export(run, file).as_json()
    return {key: value for key, value in result.items() if key != "onnx"}


def _resume(run: Path, file: Path, size: tuple[int, ...]) -> Line:
    trained = api.load(run)
    step = train_step(trained, size)
    save_weights(file, trained.state_dict())
    torch.manual_seed(SEED)
    again = api.load(run)
    load_weights(again, file)
    with torch.no_grad():
        again(torch.zeros(2, *size))  # some make tables when they run
    return {"tensors": require_equal(again, trained), "loss": step["loss"]}


def require_equal(one: nn.Module, other: nn.Module) -> int:
    """How many parameters and buffers two modules have; ValueError where they differ in anything."""
    found, expected = _tensors(one), _tensors(other)
    if differing := found.keys() ^ expected.keys():
        raise ValueError(f'"{min(differing)}" is in one of them only')
    for name, tensor in expected.items():
        if found[name].dtype != tensor.dtype:
            raise ValueError(f'"{name}" is {found[name].dtype} instead of {tensor.dtype}')
        if not torch.equal(found[name].nan_to_num(), tensor.nan_to_num()):
            raise ValueError(f'"{name}" has other values')
    if _shared(found) != _shared(expected):
        raise ValueError("other names share a tensor")
    return len(expected)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    named = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    return {name: tensor.detach() for name, tensor in named}


def _shared(tensors: dict[str, Tensor]) -> set[frozenset[str]]:
    """The groups of names that stand for one piece of memory."""
    names = defaultdict(set)
    for name, tensor in tensors.items():
        if tensor.numel():
            names[tensor.data_ptr()].add(name)
    return {frozenset(group) for group in names.values() if len(group) > 1}
