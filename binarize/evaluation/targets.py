"""What can be evaluated: runs, their checkpoints, and ONNX files that `binarize export` wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from binarize import layers, models, rewrite
from binarize.errors import ExportError, RunError
from binarize.run import DataRecord, Preprocess, is_run, layout, locate, newest_run
from binarize.runtime import session


class Predictor(Protocol):
    """Answers float32[N, 3, H, W] with logits or probabilities float32[N, classes], both on the CPU."""

    def __call__(self, images: Tensor, /) -> Tensor: ...

    def end(self, images: Tensor, /) -> str:
        """The operation that makes the answers of such images, in lower case: "linear", "sigmoid"."""
        ...


@dataclass(frozen=True)
class Target:
    """Something that answers images with logits, and what it says about itself.

    Attributes:
        name: how it was called on the command line; of a run's ONNX file, its path.
        kind: "torch" or "onnx".
        preprocess: what images have to look like.
        data: that it was trained on.
        classes: class names in the order of the logits; empty where unknown.
        library_classes: whether they are those of a library's pretrained weights.
        bytes: of the file that holds its weights.
        reference: the target that its parity is measured against: a run, for its ONNX file; None: the
            first target.
        kernels: whether the binarize kernels compute its binary layers, or stock onnxruntime; None for torch.
        probabilities: whether it answers with those in place of logits.
        predictor: gives the function from images to logits; called when its turn comes, so that one
            model at a time is in memory.
    """

    name: str
    kind: str
    preprocess: Preprocess
    data: DataRecord
    classes: list[str]
    bytes: int
    predictor: Callable[[], Predictor]
    reference: str | None = None
    kernels: bool | None = None
    probabilities: bool = False
    library_classes: bool = False


def find(names: list[str | Path], kernels: bool = True) -> list[Target]:
    """The targets of those names, a run that holds model.onnx giving two. None: the newest run's.

    `kernels`: have the binarize kernels compute the ONNX files, where this installation has them.

    Raises RunError for a name that is neither, ExportError for an ONNX file that cannot be read.
    """
    found: list[Target] = []
    for name in names or [newest_run().path]:
        path = Path(name)
        if path.is_dir():
            found += of_directory(path, kernels)
        elif path.suffix == ".onnx" or path.is_file():
            found.append(of_onnx(path, kernels))
        else:
            raise RunError(
                f'there is no run and no ONNX file "{path}"', "binarize convert MODEL makes a run"
            )
    return found


def find_one(name: str | Path, kernels: bool = True) -> Target:
    """The target of one name: of a run that holds model.onnx, the run itself. Raises as `find` does."""
    return find([name], kernels)[0]


def of_directory(path: Path, kernels: bool = True) -> list[Target]:
    """A run and its ONNX file, or one checkpoint of a run (RUN/best, RUN/last)."""
    run, weights = locate(path)
    info = run.info
    models.require("evaluate", info.model)
    target = Target(
        str(path),
        "torch",
        info.preprocess,
        info.data,
        info.classes,
        weights.stat().st_size,
        lambda: torch_predictor(path),
        library_classes=info.has_library_classes,
    )
    beside = path / layout.ONNX
    if not (is_run(path) and beside.is_file()):
        return [target]
    return [target, replace(of_onnx(beside, kernels), reference=target.name)]


def of_onnx(path: Path, kernels: bool = True) -> Target:
    """An ONNX file, everything taken from its own metadata."""
    if not path.is_file():
        raise ExportError(f'there is no file "{path}"', "binarize export RUN --onnx writes one")
    about = session.metadata(path)
    kernels = kernels and session.uses_kernels(path)
    return Target(
        str(path),
        "onnx",
        _in_unit_range(about.preprocess) if about.with_preprocess else about.preprocess,
        about.data,
        about.classes,
        path.stat().st_size,
        lambda: onnx_predictor(path, kernels),
        kernels=kernels,
        probabilities=about.with_preprocess,
        library_classes=about.has_library_classes,
    )


def _in_unit_range(preprocess: Preprocess) -> Preprocess:
    """Images whose pixels stay in [0, 1]: the file normalises them itself."""
    return preprocess.replace(mean=[0.0] * 3, std=[1.0] * 3)


@dataclass(frozen=True)
class TorchPredictor:
    """A run's module, on a device."""

    model: nn.Module
    device: torch.device

    def __call__(self, images: Tensor) -> Tensor:
        with torch.inference_mode(), models.full_precision():
            return models.logits_of(self.model(images.to(self.device))).float().cpu()

    def end(self, images: Tensor) -> str:
        """See `Predictor`."""
        return rewrite.capture(self.model, tuple(images.shape[1:])).last_function


def torch_predictor(path: Path) -> TorchPredictor:
    """The run's module, on the accelerator where there is one; its signs frozen, which is faster, unless
    inputs are binary too: frozen products are for the exporter alone."""
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    model = rewrite.build(path)
    if not any(True for _ in layers.binary_inputs(model)):
        layers.freeze(model)
    return TorchPredictor(model.to(device), device)


@dataclass(frozen=True)
class OnnxPredictor:
    """A file in onnxruntime."""

    opened: session.Session

    def __call__(self, images: Tensor) -> Tensor:
        if self.opened.info.with_preprocess:
            images = (255 * images).round().to(torch.uint8).permute(0, 2, 3, 1)
        return torch.from_numpy(self.opened.logits(images.numpy()))

    def end(self, images: Tensor) -> str:
        """See `Predictor`."""
        return session.last_operator(self.opened.path).lower()


def onnx_predictor(path: Path, kernels: bool = False) -> OnnxPredictor:
    """The file in onnxruntime, with the binarize kernels or without."""
    return OnnxPredictor(session.open_session(path, kernels=kernels))
