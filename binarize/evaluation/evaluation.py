"""Evaluate targets one after the other on the same images: accuracy, speed, parity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from binarize import data
from binarize.choices import OnError
from binarize.errors import DataError, near_words
from binarize.evaluation.accuracy import Answers, ask, top_k
from binarize.evaluation.parity import Parity, compare
from binarize.evaluation.targets import Target, find
from binarize.models import probabilities_of
from binarize.progress import Progress
from binarize.recipe import Data
from binarize.recipe.images import FILES

BATCH_SIZE = 64
WORKERS = 2


@dataclass(frozen=True)
class Evaluation:
    """What one target scored.

    Attributes:
        target: the run or file.
        kind: "torch" or "onnx".
        data: the data set's name, or its folder.
        images: how many test images were asked.
        classes: how many classes the target knows; of up to five, top-5 is always 100.
        top1, top5: percent.
        images_per_s: images per second of prediction alone, without loading.
        ms_per_image: median milliseconds of a prediction for one image alone.
        bytes: of the file that holds the weights.
        compared_with: for an ONNX file, the target that the next three compare with: its run where it
            lies in one, else the first target, if that answered the same images with as many classes.
            None, like the three, for anything else: two runs are two models.
        max_abs_diff, max_abs_logit, top1_agreement: see `binarize.evaluation.parity.Parity`; of
            probabilities, where one of both answers with those.
        kernels: for an ONNX file, whether the binarize kernels computed its binary layers; None for torch.
    """

    target: str
    kind: str
    data: str
    images: int
    top1: float
    top5: float
    images_per_s: float
    ms_per_image: float
    bytes: int
    classes: int
    compared_with: str | None = None
    max_abs_diff: float | None = None
    max_abs_logit: float | None = None
    top1_agreement: float | None = None
    kernels: bool | None = None


@near_words
def evaluate(
    targets: str | Path | Sequence[str | Path] = (),
    *,
    data_dir: str | Path | None = None,
    limit: int | None = None,
    batch_size: int = BATCH_SIZE,
    workers: int = WORKERS,
    on_error: OnError | None = None,
    kernels: bool = True,
    progress: Progress | None = None,
) -> list[Evaluation]:
    """Score runs and ONNX files on their test images.

    Args:
        targets: run directories, their checkpoints (RUN/best) and ONNX files; a run that holds
            model.onnx counts as two. None at all: the newest run.
        data_dir: the images, where they are not the data set that the target was trained on.
        limit: ask this many images only.
        batch_size: images per prediction.
        workers: processes that load images.
        on_error: "stop" where images cannot be read, or "skip" them; None: of the images that a target was
            trained on as in its training, and of others "stop".
        kernels: have the binarize kernels compute the ONNX files, where this installation has them; else
            stock onnxruntime does.
        progress: is told how many images each target has answered.

    Raises RunError, ExportError and CheckpointError for a target that cannot be read, DataError for
    images that are missing or of another number of classes.
    """
    names = [targets] if isinstance(targets, (str, Path)) else list(targets)
    found = find(names, kernels)
    # All that can be refused is refused before the first image is asked.
    given: dict[str, Any] = {"batch_size": batch_size, "workers": workers}
    if on_error is not None:
        given["on_error"] = on_error
    configs = [_config(target, found, data_dir, given) for target in found]
    progress = progress or Progress()
    say = data.once(progress.say)
    tests = [_test(*pair, limit, say, progress) for pair in zip(found, configs, strict=True)]
    evaluations: list[Evaluation] = []
    answered: dict[str, tuple[Answers, Data]] = {}
    probabilities = {target.name for target in found if target.probabilities}
    for target, test in zip(found, tests, strict=True):
        answers = _answers(target, test, progress)
        reference = target.reference or found[0].name
        parity = None
        if target.kind == "onnx" and reference in answered:
            others, config = answered[reference]
            if _same_images(test.config, config) and answers.logits.shape == others.logits.shape:
                pair = others.logits, answers.logits
                if {reference, target.name} & probabilities:
                    pair = probabilities_of(pair[0]), probabilities_of(pair[1])
                parity = compare(*pair)
        answered[target.name] = answers, test.config
        evaluations.append(_evaluation(target, test.config, answers, parity, reference))
    return evaluations


@dataclass(frozen=True)
class _Test:
    """The images that a target is tested on."""

    config: Data
    loader: Any


def _test(
    target: Target,
    config: Data,
    limit: int | None,
    say: Callable[[str], None],
    progress: Progress,
) -> _Test:
    known = target.classes or None
    try:
        loader = data.test_loader(
            config, target.preprocess, limit, known, download=False, say=say, progress=progress
        )
    except DataError as problem:  # of data and classes that the target names
        raise DataError(f'"{target.name}": {problem.message}', problem.hint) from problem
    test = _Test(config, loader)
    if config.holdout and not data.has_split(config, "test"):
        say(f"scored are {len(test.loader.dataset):,} of them: those set aside when it was trained")
        now, then = data.whole_of(test.loader.dataset), target.data.images
        if then is not None and now != then:
            progress.warn(
                f'"{config.dir}" has {now:,} images and had {then:,} when "{target.name}" was trained: some '
                "of those that are scored may have been trained on",
                "evaluate on other images: --data-dir",
            )
    names = test.loader.dataset.classes
    if known is None and names:
        say(
            f'"{target.name}" does not tell its classes: its logits are taken to be those of '
            f"{data.first_of(names)}, in this order"
        )
    return test


def _config(
    target: Target, found: list[Target], data_dir: str | Path | None, given: dict[str, Any]
) -> Data:
    name = target.data.name
    if data_dir is not None and name in (None, "digits"):
        name = "folder"
    if name is None:
        raise DataError(
            f'"{target.name}" was not trained on any data set, so there is nothing to test it on',
            "train it, or give images with --data-dir: one folder per class",
        )
    place = _place(target, found) if data_dir is None else str(data_dir)
    if name == "digits":
        given = {**given, "workers": 0}  # 360 images in memory: a process would start for longer
    own = data_dir is None or _is_own(target, Path(data_dir))
    if own:
        given = {"holdout": target.data.holdout, "on_error": target.data.on_error, **given}
    return Data(name=name, dir=place, **given)


def _is_own(target: Target, place: Path) -> bool:
    """Whether it was trained on images of that place. An ONNX file tells the last part of its name alone."""
    known = Path(target.data.dir or "")
    if target.kind == "onnx":
        return place.resolve().name == known.name
    return place.resolve() == known.resolve()


def _place(target: Target, found: list[Target]) -> str | None:
    """Where the target's images lie. An ONNX file does not tell: a run beside it may."""
    for one in (target, *found):
        place = one.data.dir
        if one.data.name == target.data.name and place and Path(place).exists():
            return place
    return target.data.dir


def _same_images(one: Data, other: Data) -> bool:
    places = [Path(config.dir or "").resolve() for config in (one, other)]
    return one.name == other.name and places[0] == places[1]


def _answers(target: Target, test: _Test, progress: Progress) -> Answers:
    total, done = len(test.loader.dataset), 0
    predictor = target.predictor()

    def predict(images: Tensor) -> Tensor:
        logits = predictor(images)
        _check_classes(target, logits, test)
        return logits

    def after_batch(images: int) -> None:
        nonlocal done
        done += images
        progress.update(done)

    progress.task(f"evaluating {target.name}", total)
    return ask(predict, test.loader, after_batch)


def _check_classes(target: Target, logits: Tensor, test: _Test) -> None:
    """Where no class names are known, the number of logits still is."""
    if logits.ndim != 2:
        raise DataError(
            f'"{target.name}" answers {len(logits)} images with {list(logits.shape)}, not rows of logits',
            "accuracy is of networks that classify images",
        )
    answers = logits.shape[1]
    classes = len(test.loader.dataset.classes)
    if answers != classes:
        raise DataError(
            f'data set "{_data_name(test.config)}" has {classes} classes and "{target.name}" '
            f"tells {answers} apart",
            "evaluate on the data that it was trained for, or train it on these",
        )


def _evaluation(
    target: Target, config: Data, answers: Answers, parity: Parity | None, reference: str
) -> Evaluation:
    return Evaluation(
        target=target.name,
        kind=target.kind,
        data=_data_name(config),
        images=len(answers.labels),
        top1=top_k(answers.logits, answers.labels, 1),
        top5=top_k(answers.logits, answers.labels, 5),
        images_per_s=answers.images_per_s,
        ms_per_image=answers.ms_per_image,
        bytes=target.bytes,
        classes=answers.logits.shape[-1],
        kernels=target.kernels,
        **({"compared_with": reference, **vars(parity)} if parity else {}),
    )


def _data_name(config: Data) -> str:
    return config.dir if config.name in FILES and config.dir else config.name
