"""What people expect as options of commands that take a recipe, and where it is said instead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from binarize.cli import command as commands
from binarize.cli.command import UsageError, WrongUsage

if TYPE_CHECKING:
    from binarize.cli.command import ClickContext

KEYS = {
    "epochs": "stages.0.epochs",
    "lr": "stages.0.optimizer.lr",
    "learning-rate": "stages.0.optimizer.lr",
    "momentum": "stages.0.optimizer.momentum",
    "weight-decay": "stages.0.optimizer.weight_decay",
    "wd": "stages.0.optimizer.weight_decay",
    "optimizer": "stages.0.optimizer.name",
    "opt": "stages.0.optimizer.name",
    "schedule": "stages.0.schedule",
    "scheduler": "stages.0.schedule",
    "batch-size": "data.batch_size",
    "batch": "data.batch_size",
    "img-size": "data.img_size",
    "workers": "data.workers",
    "data": "data.name",
    "dataset": "data.name",
    "model": "model.name",
    "estimator": "binarize.estimator",
    "scale": "binarize.scale",
    "activations": "binarize.activations",
    "structure": "binarize.structure",
    "precision": "engine.precision",
    "seed": "seed",
    "twin": "twin",
}
"""An option that does not exist -> the key of a recipe."""
SUFFIXES = (".yaml", ".yml")


class Command(commands.Command):
    """Answers `--epochs 3` with the `--set` that does it."""

    def parse_args(self, ctx: ClickContext, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except UsageError as problem:
            option = getattr(problem, "option_name", "")
            key = KEYS.get(option.lstrip("-").replace("_", "-"))
            if type(problem).__name__ != "NoSuchOption" or key is None:
                raise
            hint = f"it is a key of the recipe: --set {key}={_value(option, given)}"
            raise WrongUsage(f"no such option: {option}", hint, ctx) from problem


def refuse_recipe(target: str | None, command: str) -> None:
    """Raises WrongUsage where a recipe stands in the place of a run or a model."""
    if target is None:
        return
    is_recipe = target.endswith(SUFFIXES)
    if not is_recipe:
        from binarize.recipe import shipped
        from binarize.run import is_run

        is_recipe = target in shipped() and not is_run(Path(target))
    if is_recipe:
        raise WrongUsage(
            f"{target} is a recipe, not a run or a model", f"{command} --recipe {target}"
        )


def _value(option: str, args: Sequence[str]) -> str:
    """The value that was given to `option`."""
    for word, following in zip(args, (*args[1:], "-"), strict=True):
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
        if word == option and not following.startswith("-"):
            return following
    return "VALUE"
