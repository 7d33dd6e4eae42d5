"""`binarize train`: train a run or a model by a recipe, or finish an interrupted training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from binarize import outputs
from binarize.cli import model_options, next_step, recipe_options, render, short
from binarize.cli.command import WrongUsage
from binarize.cli.progress import working
from binarize.errors import BinarizeError

EXAMPLES = """
binarize train --recipe digits
binarize train resnet18 --recipe mine.yaml --data-dir images -o runs/mine
"""
Command = recipe_options.Command
IMAGES = {"test": "test", "holdout": "held-out"}


def command(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN|MODEL",
            help="A run to start from, or a model to convert and train. "
            "[default: the recipe's model, else the newest run]",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help="A name from `binarize recipes ls`, or a .yaml file."
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory of the images, or a tar or CSV; overrides the recipe's data.dir.",
        ),
    ] = None,
    epochs: short.Epochs = None,
    lr: short.Lr = None,
    batch_size: short.BatchSize = None,
    img_size: short.ImgSize = None,
    device: short.Device = None,
    seed: short.Seed = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key of the recipe, such as stages.0.epochs=3; repeatable.",
        ),
    ] = None,
    on_error: model_options.OnError = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Directory of the new run. [default: one under runs/]",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Resume this interrupted training. All settings come from the run; only "
            "--data-dir may be given, if the images have moved.",
        ),
    ] = None,
    code: model_options.Code = None,
    as_json: render.Json = False,
) -> None:
    """Train a run or a model by a recipe, into a new run.

    A run keeps its conversion, except for what the recipe's `binarize` section sets. After Ctrl-C or a
    power cut, --resume continues from the last finished epoch. --epochs, --lr, --batch-size, --img-size,
    --device and --seed are short for --set.
    """
    given = {
        "--epochs": epochs,
        "--lr": lr,
        "--batch-size": batch_size,
        "--img-size": img_size,
        "--device": device,
        "--seed": seed,
        "--on-error": on_error,
    }
    _check_usage(target, recipe, {**given, "--set": changes}, out, resume)
    if out is not None:
        outputs.check_directory(out)
    set_keys = short.overrides(recipe, changes or (), given) if recipe is not None else []
    from binarize.models import own_code
    from binarize.training import train

    with working("loading") as progress, own_code(code):
        try:
            result = train(
                recipe,
                target,
                data_dir=data_dir,
                overrides=set_keys,
                out=out,
                resume=resume,
                progress=progress,
            )
        except BinarizeError:
            raise
        except (KeyboardInterrupt, Exception):
            _say_how_to_resume(progress.path)
            raise
    if as_json:
        render.emit_json(result.as_json())
    render.say(_outcome(result))
    run = "" if _is_newest(result.run) else f"{result.run} "
    found = next_step.run_of(Path(result.run))
    flag = next_step.code_of(found.info if found else None)
    render.next_command(f"binarize export {run}--onnx{flag}")


def _check_usage(
    target: str | None,
    recipe: str | None,
    changes: Mapping[str, Any],
    out: Path | None,
    resume: Path | None,
) -> None:
    """Either a new training or an old one: refuse a mixture."""
    if resume is None:
        recipe_options.refuse_recipe(target, "binarize train")
    if resume is None and recipe is None:
        raise WrongUsage("there is no recipe", "give --recipe NAME|FILE, or --resume RUN")
    given = {"--recipe": recipe, **changes, "--out": out, "RUN|MODEL": target}
    for name, value in given.items():
        if resume is not None and value is not None and value != []:
            raise WrongUsage("--resume takes everything from the run", f"omit {name}")


def _outcome(result: Any) -> str:
    words = f"{result.top1:.2f} % after {result.epochs} epochs"
    if result.labelled:
        text = f"top-1 on the {IMAGES[result.top1_on]} images {words}"
    else:
        text = f"same answer as the teacher {words}"
    if result.top1_float is not None:
        text += f", float baseline {result.top1_float:.2f} %"
    return f"{text} ({result.seconds:.0f} s)"


def _is_newest(path: str) -> bool:
    """Whether a command without RUN would mean this one."""
    from binarize.errors import RunError
    from binarize.run import newest_run

    try:
        return newest_run().path.resolve() == Path(path).resolve()
    except RunError:
        return False


def _say_how_to_resume(path: Path | None) -> None:
    if path is not None:
        found = next_step.run_of(path)
        flag = next_step.code_of(found.info if found else None)
        render.say(f"the run is kept; to resume it: binarize train --resume {path}{flag}")
