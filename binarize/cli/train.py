"""`binarize train`: train a run or a model by a recipe, or finish an interrupted training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from binarize.cli import render
from binarize.errors import BinarizeError

EXAMPLES = """
binarize train --recipe digits
binarize train resnet18 --recipe mine.yaml --data-dir images -o runs/mine
"""


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
            metavar="DIR", help="Directory of the images; overrides the recipe's data.dir."
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key of the recipe, such as stages.0.epochs=3; repeatable.",
        ),
    ] = None,
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
    as_json: render.Json = False,
) -> None:
    """Train a run or a model by a recipe, into a new run.

    A run keeps its conversion, except for what the recipe's `binarize` section sets. After Ctrl-C or a
    power cut, --resume continues from the last finished epoch.
    """
    _check_usage(target, recipe, changes, out, resume)
    from binarize.train import train

    with render.progress("loading") as bar:
        reporter = _reporter(bar)
        try:
            result = train(
                recipe,
                target,
                data_dir=data_dir,
                overrides=changes or (),
                out=out,
                resume=resume,
                reporter=reporter,
            )
        except BinarizeError:
            raise
        except (KeyboardInterrupt, Exception):
            _say_how_to_resume(reporter.path)
            raise
    if as_json:
        render.emit_json(result.as_json())
    render.say(_outcome(result))
    run = "" if _is_newest(result.run) else f"{result.run} "
    render.next_command(f"binarize export {run}--onnx")


def _check_usage(
    target: str | None,
    recipe: str | None,
    changes: list[str] | None,
    out: Path | None,
    resume: Path | None,
) -> None:
    """Either a new training or an old one: refuse a mixture."""
    if resume is None and recipe is None:
        raise typer.BadParameter("give --recipe NAME|FILE, or --resume RUN")
    given = {"--recipe": recipe, "--set": changes, "--out": out, "RUN|MODEL": target}
    for name, value in given.items():
        if resume is not None and value:
            raise typer.BadParameter(f"--resume takes everything from the run; leave {name} away")


def _reporter(bar: render.Bar) -> Any:
    """A reporter that draws on `bar` and says one line per epoch."""
    from binarize.train import Reporter

    class Talk(Reporter):
        path: Path | None = None
        name, epochs, done = "", 0, 0

        def run(self, path: Path) -> None:
            self.path = path
            render.say(f"run: {path}")

        def say(self, text: str) -> None:
            render.say(text)

        def warn(self, text: str, hint: str = "") -> None:
            render.warn(text, hint)

        def phase(self, name: str, epochs: int, done: int) -> None:
            self.name, self.epochs = name, epochs
            render.say(f"{name}: {epochs} epochs" + (f", {done} of them done" if done else ""))

        def epoch(self, number: int, steps: int) -> None:
            self.done = 0
            bar.restart(f"{self.name}, epoch {number}/{self.epochs}", steps)

        def step(self, done: int, loss: float) -> None:
            bar.step(done - self.done, f"loss {loss:.3f}")
            self.done = done

        def epoch_done(self, row: dict[str, Any]) -> None:
            render.say(_line(row, self.epochs))

    return Talk()


def _line(row: dict[str, Any], epochs: int) -> str:
    """What is said of an epoch."""
    number = f"{row['epoch']:>{len(str(epochs))}}/{epochs}"
    scores = "  ".join(
        f"{split} loss {row[f'{split}_loss']:.4f}  {words} {row[f'{split}_top1']:.2f} %"
        for split, words in (("val", "held-out top-1"), ("test", "top-1"))
        if row.get(f"{split}_top1", "") != ""
    )
    return (
        f"epoch {number}  loss {row['train_loss']:.4f}  {scores}  "
        f"{row['seconds']:.1f} s  {row['images_per_s']:.0f} images/s"
    )


def _outcome(result: Any) -> str:
    text = f"top-1 {result.top1:.2f} % after {result.epochs} epochs"
    if result.top1_float is not None:
        text += f", float twin {result.top1_float:.2f} %"
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
        render.say(f"the run is kept; to go on: binarize train --resume {path}")
