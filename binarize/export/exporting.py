"""Export: freeze, trace, pack, write, validate; only then does the file get its name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from binarize import environment, layers, rewrite
from binarize.errors import ExportError
from binarize.export.graph import to_graph
from binarize.export.size import packed_size
from binarize.export.subject import Subject, open_subject
from binarize.export.validate import TOLERANCE, Validation, images_for, validate
from binarize.export.write import write
from binarize.run import Run, replacing
from binarize.runtime import FileInfo

OPSETS = range(18, 26)
DEFAULT_OPSET = 20


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote.

    Attributes:
        onnx: the file.
        form: "packed", or "float" for a model without binary layers.
        opset: of the ONNX standard ops in it.
        bytes, bytes_predicted: size of the file, and what was predicted from the layers.
        parity: "exact": the file computes what the torch model computes, up to float rounding.
        max_abs_diff, max_abs_logit, top1_agreement, images, validated_on: see `validate.Validation`.
    """

    onnx: str
    form: str
    opset: int
    bytes: int
    bytes_predicted: int
    parity: str
    max_abs_diff: float
    max_abs_logit: float
    top1_agreement: float
    images: int
    validated_on: str

    def as_json(self) -> dict[str, Any]:
        """The JSON of `binarize export`."""
        return asdict(self)


def export(
    model_or_run: nn.Module | Run | str | Path,
    path: str | Path,
    *,
    opset: int | None = None,
    input_size: int | None = None,
    step: Callable[[str], None] = lambda _: None,
) -> ExportResult:
    """Write an ONNX file, one bit per binary weight, and validate it in stock onnxruntime.

    Args:
        model_or_run: a module, a run, or one of its checkpoints (RUN/best). It stays as it is.
        path: the file to write. It is there, whole and validated, or not at all.
        opset: 18 to 25; None: what the run's recipe says, else 20.
        input_size: width of the images, for a module that does not say it itself.
        step: told what is being done, for a progress bar.

    Raises ExportError where the model cannot be exported or the file does not validate, RunError or
    CheckpointError for a run that cannot be read.
    """
    if Path(path).is_dir():
        raise ExportError(f'"{path}" is a directory', "name a file, such as model.onnx")
    step("loading the model")
    subject = open_subject(model_or_run, input_size)
    opset = opset or subject.opset or DEFAULT_OPSET
    if opset not in OPSETS:
        raise ExportError(
            f"opset {opset} is not one that binarize writes",
            f"take one from {OPSETS[0]} to {OPSETS[-1]}; {DEFAULT_OPSET} is the default",
        )
    step("exporting")
    model = copy.deepcopy(subject.model).cpu().float().eval()
    plain = copy.deepcopy(model)
    frozen = layers.freeze(plain)
    info = describe(subject, "packed" if frozen else "float")
    predicted = packed_size(model, rewrite.record(plain, subject.size), info)
    graph = to_graph(plain, frozen, subject.size, opset)
    with replacing(Path(path)) as temporary:
        step("writing")
        write(graph, info, temporary)
        step("validating")
        validation = _validated(temporary, model, subject)
        size = temporary.stat().st_size
    return ExportResult(
        onnx=str(path),
        form=info.form,
        opset=opset,
        bytes=size,
        bytes_predicted=predicted,
        parity=info.parity,
        **asdict(validation),
    )


def describe(subject: Subject, form: str) -> FileInfo:
    """What the file says about itself."""
    info = subject.info
    conversion = {k: v for k, v in (info.conversion or {}).items() if k != "parameters"}
    return FileInfo(
        form=form,
        parity="exact",
        model=info.model,
        weights=info.weights,
        preprocess=info.preprocess,
        data=info.data,
        classes=info.classes,
        conversion=conversion or None,
        recipe=subject.recipe,
        versions=environment.versions(),
    )


def _validated(path: Path, model: nn.Module, subject: Subject) -> Validation:
    validation = validate(path, model, images_for(subject))
    if not validation.passed:
        raise ExportError(
            f"the file differs from the model by {validation.max_abs_diff:.2e} where logits reach "
            f"{validation.max_abs_logit:.2e}: more than {TOLERANCE:g} of that",
            "nothing was written; this is a defect of binarize: please report the model's name",
        )
    return validation
