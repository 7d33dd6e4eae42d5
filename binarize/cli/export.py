"""`binarize export`: a run to an ONNX file, validated in onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from binarize import outputs
from binarize.cli import command as commands
from binarize.cli import model_options, next_step, render
from binarize.cli.command import WrongUsage
from binarize.cli.progress import working

if TYPE_CHECKING:
    from binarize.cli.command import ClickContext
    from binarize.exporting import ExportResult

EXAMPLES = """
binarize export --onnx
binarize export runs/resnet18 --onnx resnet18.onnx --form inline
"""
FLAG = "--onnx"


class Command(commands.Command):
    """Knows an option whose value may be left out: a bare `--onnx`."""

    def parse_args(self, ctx: ClickContext, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_value(args))


def with_value(args: Sequence[str]) -> list[str]:
    """`--onnx` at the end or before another option gets the value `""`, which stands for RUN/model.onnx."""
    given = list(args)
    end = given.index("--") if "--" in given else len(given)
    for index, word in enumerate(given[:end]):
        following = given[index + 1 : index + 2]
        if word == FLAG and (not following or following[0].startswith("-")):
            given[index : index + 1] = [FLAG, ""]
            break
    return given


def command(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A run, or one of its checkpoints (RUN/best); before --onnx. [default: the newest run]",
        ),
    ] = None,
    onnx: Annotated[
        str | None,
        typer.Option(
            FLAG,
            metavar="[FILE]",
            help="Write an ONNX file. [default: model.onnx in the run]",
        ),
    ] = None,
    opset: Annotated[
        int | None,
        typer.Option(
            min=18,
            max=25,
            metavar="N",
            help="Version of the ONNX operator set. [default: the recipe's, else 20]",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="packed (bits, unpacked by ONNX functions; for onnxruntime), inline (standard operators "
            "only; for OpenVINO and others), int8 (integer arithmetic) or native (only for the binarize "
            "kernels). [default: the recipe's, else packed]",
        ),
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Type of the stored classifier weight: float, fp16, int8 or 1bit. "
            "[default: the recipe's, else float]",
        ),
    ] = None,
    code: model_options.Code = None,
    with_preprocess: Annotated[
        bool | None,
        typer.Option(
            "--with-preprocess/--without-preprocess",
            help="The file takes uint8 images [N, H, W, 3] and gives probabilities: normalisation and "
            "softmax are inside. [default: the recipe's, else without]",
        ),
    ] = None,
    as_json: render.Json = False,
) -> None:
    """Write RUN as an ONNX file with one bit per binary weight, and validate it in onnxruntime.

    The file runs in onnxruntime at the speed of the float model, and faster with the binarize kernels,
    which the native form requires. It is compared with the torch model on test images if they are
    available, else on noise, and a file that differs is deleted. With binary inputs, rounding may flip the
    sign of an input close to 0; the export then checks that nothing else differs.
    """
    if onnx is None:
        raise WrongUsage("say what to write", f"add {FLAG}, or {FLAG} FILE")
    if run is None and onnx and Path(onnx).is_dir():
        raise WrongUsage(f"RUN stands before {FLAG}", f"binarize export {onnx} {FLAG}")
    if onnx:
        outputs.check_onnx(onnx)
    from binarize.exporting import export
    from binarize.models import own_code
    from binarize.run import layout, newest_run

    target = run or str(newest_run(skipped=render.warn).path)
    if run is None:
        render.say(f"exporting the newest run, {target}")
    with working("loading the model") as progress, own_code(code):
        result = export(
            target,
            onnx or _in_run(target),
            opset=opset,
            form=form,
            classifier=classifier,
            with_preprocess=with_preprocess,
            progress=progress,
        )
    show(result)
    if as_json:
        render.emit_json(result.as_json())
    in_run = not onnx and not layout.is_checkpoint(Path(target))
    newest = in_run and run is None
    written = "" if newest else f" {target if in_run else result.onnx}"
    measuring = next_step.measuring(Path(target))
    found = next_step.run_of(Path(target)) if measuring == "eval" and in_run else None
    flag = next_step.code_of(found.info if found else None)
    render.next_command(f"binarize {measuring}{written}{flag}")


def show(result: ExportResult) -> None:
    """The validation block: what the parity gate of the export looked at."""
    from binarize.exporting.size import is_close
    from binarize.runtime import NATIVE

    predicted = result.bytes / result.bytes_predicted - 1
    render.say(f"{result.onnx}: {result.form} ONNX, opset {result.opset}")
    where = (
        "onnxruntime with the binarize kernels" if result.form == NATIVE else "stock onnxruntime"
    )
    _check(True, f"loads in {where}; validated on {result.validated_on}")
    for good, sentence in (*_parity(result), *_choices(result)):
        _check(good, sentence)
    _check(
        is_close(result.bytes_predicted, result.bytes),
        f"{render.size(result.bytes)}; predicted {result.bytes_predicted:,} ({predicted:+.2%})",
    )
    more = result.bytes - (result.bytes_asked or result.bytes)
    if more > 0:
        _check(
            None,
            f"{more:,} bytes more than the --size that its bits were chosen for, before it was trained: "
            "the recipe, and the names of classes, are in its metadata now",
        )


def _parity(result: ExportResult) -> Iterator[tuple[bool | None, str]]:
    """(whether it holds, what was looked at); None: it need not hold."""
    from binarize.exporting.validate import (
        AGREEMENT,
        AGREEMENT_8,
        EXACT,
        FLIPPED,
        QUANTISED,
        ROUNDED,
        TOLERANCE,
    )

    quantised = result.parity == QUANTISED
    limit = "" if quantised else f" (allowed {TOLERANCE * result.max_abs_logit:.2e})"
    yield (
        True if result.parity == EXACT else None,
        f"max |diff| {result.max_abs_diff:.2e} of logits up to {result.max_abs_logit:.3g}{limit}",
    )
    if result.parity == ROUNDED:
        yield (
            True,
            f"equal {ROUNDED}: torch's own float32 is {result.own_rounding:.1e} of the largest logit off "
            f"from float64 (allowed: 4 times that, {result.allowed * result.max_abs_logit:.2e})",
        )
    if result.parity == FLIPPED:
        yield (
            True,
            f"equal {FLIPPED}: the smooth surrogate to {result.clip_twin_diff:.1e} (allowed "
            f"{result.clip_twin_allowed:.1e}); {result.flips} of {result.images} images have sign "
            f"disagreements, the first ones of inputs within {result.largest_flip:.1e} RMS of the "
            f"threshold (allowed {result.flip_allowed:.1e})",
        )
    agreement = AGREEMENT_8 if quantised else AGREEMENT
    allowed = agreement if result.trained else 100.0
    yield (
        True if result.top1_agreement >= allowed else None,
        f"same top-1 on {result.top1_agreement:.2f} % of the images"
        + (f" (allowed {agreement} %)" if result.trained else ""),
    )


def _choices(result: ExportResult) -> Iterator[tuple[bool | None, str]]:
    """What was asked for that changes what the file computes."""
    from binarize.exporting.preprocessing import TOLERANCE

    if result.probability_diff is not None:
        yield (
            True,
            "takes uint8 images [N, H, W, 3], gives probabilities: within "
            f"{result.probability_diff:.1e} of those with both outside (allowed {TOLERANCE:.0e})",
        )
    if result.calibrated_on is not None:
        yield None, f"activations rounded to 8 bits, ranges from {result.calibrated_on}"
    if result.form == "int8":
        yield (
            None,
            "integer arithmetic pays off on CPUs with dot products of bytes (VNNI, AMX) and for ResNets; "
            "on others transformers and mobile networks are slower than float: binarize bench FILE says",
        )
    if result.classifier_diff is not None:
        yield (
            None,
            f"classifier stored as {result.classifier}: moves logits by up to {result.classifier_diff:.2e}, "
            f"same top-1 on {result.classifier_agreement:.2f} % of the images",
        )


def _check(good: bool | None, sentence: str) -> None:
    from rich.text import Text

    mark, colour = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", "yellow")}[good]
    render.say(Text.assemble((mark, colour), f" {sentence}"))


def _in_run(target: str) -> str:
    """model.onnx of the run, whose checkpoint `target` may be."""
    from binarize.run import layout

    return str(layout.run_of(Path(target)) / layout.ONNX)
