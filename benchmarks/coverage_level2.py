"""Level 2: a model with random weights, all the way: convert, export, stock onnxruntime, a training step.

Binary inputs are calibrated on noise, as `binarize train` does it, and batch norms have its statistics.

The outcome of a mode:

    image      what it was run on: the model's own size, or a smaller one where it takes that
    convert    layers binarized and kept; the gates on values have passed
    export     what `binarize.export` says about the file that it wrote and validated
    runtime    batch size -> max |onnx - torch| / max |torch| in stock onnxruntime
    train      the loss of a batch of two before and after an SGD step; all gradients were finite
    float      only where export or runtime failed: the same for the float model, by torch's exporter alone

A stage that failed is {"error", "reason"}, and what needs it is not there.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import timm
import torch
from coverage_lines import Line
from coverage_models import quick_size
from coverage_modes import options
from coverage_worker import attempt
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from binarize.exporting import export
from binarize.layers import binary_weights, calibrate
from binarize.rewrite import FloatModel, SourceOptions, convert_float, open_float

BATCHES = (1, 2, 3)
OPSET = 20
RATE = 0.01
SETTLING = 4
"""Images of noise in a batch for batch norms, and for calibration."""
ROUGH = 0.02
"""Standard deviation of what parameters are that begin at zero."""


def measure(job: dict[str, Any]) -> Line:
    """The line of `job["model"]` for the modes of `job["modes"]`."""
    return {"modes": {mode: _mode(job["model"], mode) for mode in job["modes"]}}


def _mode(name: str, mode: str) -> Line:
    began = time.monotonic()
    torch.manual_seed(0)
    width = quick_size(name)
    float_model = open_float(name, SourceOptions(pretrained=False, img_size=width))
    _roughen(float_model.model)
    outcome: Line = {
        "image": list(float_model.size),
        "convert": attempt(_convert, float_model, mode),
    }
    if "error" not in outcome["convert"]:
        with tempfile.TemporaryDirectory() as directory:
            outcome |= _file(float_model, Path(directory) / "model.onnx")
        outcome["train"] = attempt(train_step, float_model.model, float_model.size)
        if not {"error"}.isdisjoint({*outcome["export"], *outcome.get("runtime", ())}):
            del float_model
            gc.collect()
            outcome["float"] = attempt(_float, name, width)
    return {**outcome, "seconds": round(time.monotonic() - began, 1)}


@torch.no_grad()
def _roughen(model: nn.Module) -> None:
    """Give parameters that begin at zero (the last norm of a block, a classifier) a little noise: what
    is multiplied by zero would not be compared."""
    for parameter in model.parameters():
        if not parameter.any():
            parameter.normal_(std=ROUGH)


def _convert(float_model: FloatModel, mode: str) -> Line:
    rows = convert_float(float_model, options(mode)).conversion.rows
    _settle(float_model)
    actions = [row.action for row in rows]
    return {action: actions.count(action) for action in ("binarized", "kept")}


def _settle(float_model: FloatModel) -> None:
    """Calibrate as `train` does, on batches in training mode, and give every batch norm the statistics of
    the same noise, as training would have given it those of images: with variance 1 for all, signals die
    out or grow on their way through many a network, and little is compared."""
    generator = torch.Generator().manual_seed(2)
    batches = [torch.randn(SETTLING, *float_model.size, generator=generator) for _ in range(2)]
    calibrate(float_model.model.train(), batches)
    update_bn(batches, float_model.model)


def _file(float_model: FloatModel, path: Path) -> Line:
    outcome = {"export": attempt(lambda: export(float_model.model, path).as_json())}
    outcome["export"].pop("onnx", None)
    if "error" not in outcome["export"]:
        outcome["runtime"] = attempt(_compare, float_model.model, path, float_model.size)
    return outcome


@torch.no_grad()
def _compare(model: nn.Module, path: Path, size: tuple[int, ...]) -> Line:
    """Batch size -> relative difference, or an error that names the batch size."""
    run = _session(path)
    generator = torch.Generator().manual_seed(1)
    found = {}
    for batch in BATCHES:
        images = torch.randn(batch, *size, generator=generator)
        expected = next(_tensors(model.eval()(images)))
        given = torch.from_numpy(run(images.numpy()))
        if given.shape != expected.shape:
            raise ValueError(f"{list(given.shape)} instead of {list(expected.shape)}")
        if not expected.isfinite().all() or not expected.abs().max() > 0:
            raise ValueError("all outputs are zero, or some not finite: nothing to compare")
        found[str(batch)] = float((given - expected).abs().max() / expected.abs().max())
    return found


def _session(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Images -> first output, in onnxruntime as it is installed."""
    threads = onnxruntime.SessionOptions()
    threads.intra_op_num_threads = threads.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, threads, providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0].name
    return lambda images: session.run(None, {image: images})[0]


def train_step(model: nn.Module, size: tuple[int, ...]) -> Line:
    """One SGD step on two images of noise. Raises ArithmeticError where anything is not finite,
    RuntimeError where a latent weight gets no gradient."""
    torch.manual_seed(0)
    model.train()
    images, labels = torch.randn(2, *size), torch.tensor([0, 1])
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    before = _loss(model(images), labels)
    before.backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    for name, gradient in gradients.items():
        if not gradient.isfinite().all():
            raise ArithmeticError(f'the gradient of "{name}" is not finite')
    for name, module, parameter, _ in binary_weights(model):
        if module._parameters[parameter].grad is None:
            raise RuntimeError(f'the latent weight of "{name}" has no gradient')
    optimizer.step()
    with torch.no_grad():
        after = _loss(model(images), labels)
    if not after.isfinite():
        raise ArithmeticError("the loss after the step is not finite")
    return {"loss": before.item(), "loss_after": after.item(), "gradients": len(gradients)}


def _loss(output: Any, labels: Tensor) -> Tensor:
    return sum(F.cross_entropy(logits.float().flatten(1), labels) for logits in _tensors(output))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    else:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


def _float(name: str, width: int) -> Line:
    """Whether torch and onnxruntime can do without binarize what failed with it."""
    before = timm.layers.use_fused_attn()
    timm.layers.set_fused_attn(False)
    try:
        float_model = open_float(name, SourceOptions(pretrained=False, img_size=width))
        _roughen(float_model.model)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "float.onnx"
            _plain_export(float_model.model.eval(), float_model.size, path)
            return _compare(float_model.model, path, float_model.size)
    finally:
        timm.layers.set_fused_attn(before)


def _plain_export(model: nn.Module, size: tuple[int, ...], path: Path) -> None:
    images = (torch.zeros(2, *size),)
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(model, images, dynamic_shapes=shapes, strict=False)
    torch.onnx.export(program, dynamo=True, opset_version=OPSET, verbose=False).save(path)
