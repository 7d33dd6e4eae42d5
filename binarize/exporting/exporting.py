"""Export: freeze, trace, pack, write, validate; only then does the file get its name."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast, get_args

from torch import nn

from binarize import environment, layers, outputs, rewrite
from binarize.errors import ExportError, near_words
from binarize.exporting.classifier import CLASSIFIERS, PLAIN, find_classifier
from binarize.exporting.forms import DEFAULT_FORM, FLOAT, FORMS
from binarize.exporting.graph import to_graph
from binarize.exporting.images import MORE_IMAGES, images_for
from binarize.exporting.lower import LoweredModel, lower
from binarize.exporting.preprocessing import check_subject, embed
from binarize.exporting.size import packed_size
from binarize.exporting.subject import Subject, open_subject
from binarize.exporting.validate import AGREEMENT, AGREEMENT_8, EXACT, Validation, compare, validate
from binarize.exporting.write import write
from binarize.imgsize import ImgSize
from binarize.kernels import ort_library
from binarize.models import copied
from binarize.progress import Progress
from binarize.run import Run, replacing
from binarize.runtime import FileInfo
from binarize.runtime.metadata import ClassifierName, FormName, Parity

OPSETS = range(18, 26)
DEFAULT_OPSET = 20
FLIP_FIGURES = ("clip_twin_diff", "clip_twin_allowed", "flips", "largest_flip", "flip_allowed")


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote.

    Attributes:
        onnx: the file.
        form: "packed", "inline", "int8" or "native"; "float" for a model without binary layers.
        opset: of the ONNX standard ops in it.
        bytes, bytes_predicted: size of the file, and what was predicted from the layers.
        parity: "exact": the file computes what the torch model computes, up to 1e-4 of the largest logit;
            "up to rounding": up to what the model itself makes of rounding, which is more; "up to sign
            flips": but for binary inputs that rounding put on the other side of their decision boundary;
            "quantised": activations are rounded to 8 bits, the figures say what that does.
        max_abs_diff, max_abs_logit, top1_agreement, trained, images, validated_on, own_rounding: see
            `validate.Validation`.
        allowed: what max_abs_diff may be, of the largest logit, where no sign flips.
        clip_twin_diff, flips, largest_flip, clip_twin_allowed, flip_allowed: see
            `disagreements.SignDisagreements`; None where
            no flips were looked for.
        classifier: how the last layer's weight is stored.
        classifier_diff, classifier_agreement: what that changes: largest difference of a logit, and
            percentage of images with the same top-1, of the torch model with the rounded weight from the one
            without; None for "float".
        calibrated_on: the images that ranges of activations come from, in words; None where none do.
        with_preprocess: whether the file takes uint8 images [N, H, W, 3] and gives probabilities.
        probability_diff: largest difference of a probability from those of the network with both outside;
            None where they are. All other figures are of the network alone.
        bytes_asked: of the packed file at most, where `convert --size` chose the bits; else None. A training
            adds its recipe, and the names of classes, to the metadata.
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
    trained: bool
    images: int
    validated_on: str
    allowed: float
    own_rounding: float | None = None
    clip_twin_diff: float | None = None
    clip_twin_allowed: float | None = None
    flips: int | None = None
    largest_flip: float | None = None
    flip_allowed: float | None = None
    classifier: str = PLAIN
    classifier_diff: float | None = None
    classifier_agreement: float | None = None
    calibrated_on: str | None = None
    bytes_asked: int | None = None
    with_preprocess: bool = False
    probability_diff: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The JSON of `binarize export`."""
        return asdict(self)


@near_words
def export(
    model_or_run: nn.Module | Run | str | Path,
    path: str | Path,
    *,
    opset: int | None = None,
    form: str | None = None,
    classifier: str | None = None,
    with_preprocess: bool | None = None,
    input_size: ImgSize | None = None,
    progress: Progress | None = None,
) -> ExportResult:
    """Write an ONNX file, one bit per binary weight, and validate it in stock onnxruntime.

    Args:
        model_or_run: a module, a run, or one of its checkpoints (RUN/best). It stays as it is.
        path: the file to write. It is there, whole and validated, or not at all.
        opset: 18 to 25; None: what the run's recipe says, else 20.
        form: "packed", "inline" or "int8" (`forms`); None: what the recipe says, else "packed".
        classifier: "float", "fp16", "int8" or "1bit", as which the last layer's weight is stored
            (`classifier`); None: what the recipe says, else "float".
        with_preprocess: the file takes uint8 images [N, H, W, 3] of its own size and gives probabilities:
            normalisation and softmax are inside; None: what the recipe says, else False.
        input_size: of the images, one number or (height, width), for a module that does not say it itself.
        progress: is told what is being done.

    Raises ExportError where the model cannot be exported or the file does not validate, RunError or
    CheckpointError for a run that cannot be read.
    """
    outputs.check_onnx(path)
    progress = progress or Progress()
    progress.task("loading the model")
    subject = open_subject(model_or_run, input_size)
    opset = opset or subject.wish("opset") or DEFAULT_OPSET
    form = _known("form", form or subject.wish("form") or DEFAULT_FORM, FORMS)
    classifier = _known(
        "classifier", classifier or subject.wish("classifier") or PLAIN, CLASSIFIERS
    )
    if with_preprocess is None:
        with_preprocess = bool(subject.wish("with_preprocess"))
    if with_preprocess:
        check_subject(subject)
    if opset not in OPSETS:
        raise ExportError(
            f"opset {opset} is not one that binarize writes",
            f"take one from {OPSETS[0]} to {OPSETS[-1]}; {DEFAULT_OPSET} is the default",
        )
    if FORMS[form].kernels:
        ort_library()  # says what to do where there is none
    made = _make(subject, opset, form, classifier, progress)
    info, written = made.info, made.written
    with replacing(Path(path)) as temporary:
        progress.task("writing")
        write(written.graph, info, temporary)
        progress.task("validating")
        validation = _validated(temporary, made.model, subject, written)
        parity = validation.parity
        assert parity is not None  # which `_validated` refuses
        info = info.replace(parity=parity, with_preprocess=with_preprocess)
        difference = None
        if with_preprocess:
            progress.task("embedding the preprocessing")
            difference = _embedded(temporary, subject, written, info)
        elif parity != made.info.parity:
            write(written.graph, info, temporary)
        size = temporary.stat().st_size
    return ExportResult(
        onnx=str(path),
        form=info.form,
        opset=opset,
        bytes=size,
        bytes_predicted=made.predicted,
        parity=parity,
        **_figures(validation),
        **_rounded(made.plain, made.model, subject, classifier),
        calibrated_on=written.calibrated_on,
        bytes_asked=_asked(subject) if info.form == DEFAULT_FORM else None,
        with_preprocess=with_preprocess,
        probability_diff=difference,
    )


def _embedded(path: Path, subject: Subject, written: LoweredModel, info: FileInfo) -> float:
    return embed(
        path,
        written.graph,
        lambda graph, place: write(graph, info, place),
        info.preprocess,
        images_for(subject),
        written.kernels,
    )


def _asked(subject: Subject) -> int | None:
    fit = subject.info.fit
    return fit.allocation.size if fit and fit.allocation else None


def packed_file_bytes(model: nn.Module) -> int:
    """Bytes of the packed file that `export` writes of a converted module. It is made, not validated, and
    not kept. Parity is the longest that metadata may say: a file may have some bytes less."""
    made = _make(open_subject(model), DEFAULT_OPSET, DEFAULT_FORM, PLAIN, Progress())
    info = made.info.replace(parity=max(get_args(Parity), key=len))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        write(made.written.graph, info, file)
        return file.stat().st_size


@dataclass(frozen=True)
class _Made:
    """A model before it is written.

    Attributes:
        model, plain: with the classifier as it is stored, and as it was; the same where that is float.
        written: the graph.
        info: its metadata, if it turns out to be exact.
        predicted: bytes of the file.
    """

    model: nn.Module
    plain: nn.Module
    written: LoweredModel
    info: FileInfo
    predicted: int


def _make(subject: Subject, opset: int, form: str, classifier: str, progress: Progress) -> _Made:
    progress.task("exporting")
    model = copied(subject.model).cpu().float().eval()
    with layers.binarization_off(model):
        trace = rewrite.capture(model, subject.size)
    last = find_classifier(model, trace, classifier)
    plain = copied(model) if last else model
    if last:
        last.put_into(model)
    latent = copied(model)
    frozen = layers.freeze(latent) | (last.frozen if last else {})
    info = describe(subject, form if frozen else FLOAT, classifier)
    predicted = packed_size(model, trace, info, last)
    graph = to_graph(latent, frozen, subject.size, opset, last.stored if last else {})
    return _Made(model, plain, lower(graph, info.form, subject, progress), info, predicted)


def _known(what: str, word: str, table: Mapping[str, Any]) -> str:
    if word not in table:
        raise ExportError(f'there is no {what} "{word}"', f"take one of {', '.join(table)}")
    return word


def _rounded(
    before: nn.Module, model: nn.Module, subject: Subject, classifier: str
) -> dict[str, Any]:
    """What rounding the classifier changes, in torch."""
    if before is model:
        return {"classifier": classifier}
    difference, agreement = compare(before, model, images_for(subject))
    return {
        "classifier": classifier,
        "classifier_diff": difference,
        "classifier_agreement": agreement,
    }


def describe(subject: Subject, form: str, classifier: str = PLAIN) -> FileInfo:
    """What the file says about itself, if it turns out to be exact."""
    info = subject.info
    conversion = info.conversion and info.conversion.replace(parameters=[])
    return FileInfo(
        form=cast(FormName, form),
        classifier=cast(ClassifierName, classifier),
        parity=EXACT,
        model=info.model,
        weights=info.weights,
        preprocess=info.preprocess,
        data=info.data,
        classes=info.classes,
        conversion=conversion,
        recipe=subject.recipe,
        versions=environment.versions(),
    )


def _validated(path: Path, model: nn.Module, subject: Subject, written: LoweredModel) -> Validation:
    validation = validate(
        path,
        model,
        images_for(subject),
        lambda: images_for(subject, MORE_IMAGES),
        surrogate=written.surrogate,
        kernels=written.kernels,
        quantised=written.calibrated_on is not None,
    )
    if validation.quantised and not validation.passed:
        raise ExportError(
            f"with activations of 8 bits the file names another class on "
            f"{100 - validation.top1_agreement:.2f} % of the images: more than {100 - AGREEMENT_8:.1f} %",
            "nothing was written; --form packed and --form inline keep activations float",
        )
    if not validation.passed:
        raise ExportError(
            f"the file differs from the model by {_how(validation)}",
            "nothing was written; this is a defect of binarize: please report the model's name",
        )
    return validation


def _how(validation: Validation) -> str:
    if validation.parity is not None:
        return (
            f"another top-1 on {100 - validation.top1_agreement:.2f} % of its test images: more than "
            f"{100 - AGREEMENT:.1f} %"
        )
    difference = (
        f"{validation.max_abs_diff:.2e} where logits reach {validation.max_abs_logit:.2e}: more than "
        f"{validation.allowed:.2g} of that"
    )
    why = validation.why
    if why is None:
        return difference
    return (
        f"{difference}, and flipped signs are not why (smooth surrogate {why.clip_twin_diff:.1e}, largest "
        f"first flip {why.largest_flip:.1e}, without a flip {why.unflipped_diff:.1e})"
    )


def _figures(validation: Validation) -> dict[str, Any]:
    figures = {
        name: value for name, value in vars(validation).items() if name not in ("why", "quantised")
    }
    figures["allowed"] = validation.allowed
    why = validation.why
    if why is not None:
        figures |= {name: getattr(why, name) for name in FLIP_FIGURES}
    return figures
