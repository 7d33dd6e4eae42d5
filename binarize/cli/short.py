"""The keys of a recipe that everybody changes, as options of their own: short for `--set`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from binarize.cli import render
from binarize.cli.command import WrongUsage

KEYS = {
    "--epochs": "stages.LAST.epochs",
    "--lr": "stages.LAST.optimizer.lr",
    "--batch-size": "data.batch_size",
    "--img-size": "data.img_size",
    "--device": "engine.device",
    "--seed": "seed",
    "--on-error": "data.on_error",
}
"""Option -> key; LAST is the index of the last stage, the one with labels."""
LAST = "LAST"

Epochs = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Epochs of the last stage, with labels.")
]
Lr = Annotated[
    float | None, typer.Option("--lr", metavar="X", help="Learning rate of the last stage.")
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", "-b", min=1, metavar="N", help="Images per step.")
]
ImgSize = Annotated[
    str | None, typer.Option(metavar="N|HxW", help="Image size in pixels: 224, or 192x320.")
]
Device = Annotated[str | None, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, mps or xpu.")]
Seed = Annotated[int | None, typer.Option(min=0, metavar="N", help="Seed of all that is random.")]


def overrides(
    recipe: str, changes: Sequence[str], given: Mapping[str, int | float | str | None]
) -> list[str]:
    """`changes` of `--set`, and those that the options in `given` (option -> value, or None) are short for.

    Says which stage is meant where a recipe has several. Raises WrongUsage for a key that both change.
    """
    wanted = {option: value for option, value in given.items() if value is not None}
    if not wanted:
        return list(changes)
    last, count = "", 0
    if any(LAST in KEYS[option] for option in wanted):
        from binarize.recipe import load

        stages = load(recipe, changes).stages
        last, count = str(len(stages) - 1), len(stages)
        name = stages[-1].name
    keys = {option: KEYS[option].replace(LAST, last) for option in wanted}
    made = [(option, keys[option], value) for option, value in wanted.items()]
    if "--epochs" in wanted:  # a stage lasts for one of both
        made.append(("--epochs", f"stages.{last}.steps", "null"))
    changed = {change.partition("=")[0].strip() for change in changes}
    for option, key, _ in made:
        if key in changed:
            raise WrongUsage(f"{option} and --set {key} contradict each other", "omit one of them")
    of_last = [option for option in wanted if LAST in KEYS[option]]
    if count > 1:
        which = f'"{name}"' if name else f"stages.{last}"
        verb = "is" if len(of_last) == 1 else "are"
        render.say(f"{' and '.join(of_last)} {verb} of the last of {count} stages, {which}")
    return [*changes, *(f"{key}={value}" for _, key, value in made)]
