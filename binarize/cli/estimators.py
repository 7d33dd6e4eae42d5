"""`binarize estimators`: the surrogate gradients that can be named, and their plots."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from binarize import outputs
from binarize.cli import render

if TYPE_CHECKING:
    from binarize.estimators import Estimator

HELP = "Estimators: list and plot the surrogate gradients."
EXAMPLES = {
    "ls": """
        binarize estimators ls
        binarize estimators ls --progress 0.5 --json
    """,
    "plot": """
        binarize estimators plot
        binarize estimators plot ab-tanh ede --progress 0 --progress 1 -o plot.png
    """,
}


def ls(
    progress: Annotated[
        float, typer.Option(min=0, max=1, metavar="N", help="Fraction of training done.")
    ] = 1.0,
    as_json: render.Json = False,
) -> None:
    """List the estimators with their constants.

    The last two columns hold, for standard normal latent weights, the root mean square distance of f to
    sign, and the variance of f'.
    """
    from binarize.estimators import TABLE

    rows = [_entry(kind(), progress) for kind in TABLE.values()]
    if as_json:
        render.emit_json(rows)
    else:
        render.table(
            ("name", "f'(x)", "constants", "distance to sign", "var f'"),
            (
                (
                    row["name"],
                    row["formula"],
                    _defaults(row["constants"]),
                    row["distance_to_sign"],
                    row["gradient_variance"],
                )
                for row in rows
            ),
            prose=("constants",),
        )
    render.next_command("binarize estimators plot")


def plot(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Names of estimators. [default: all of them]"),
    ] = None,
    progress: Annotated[
        list[float] | None,
        typer.Option(
            min=0,
            max=1,
            metavar="N",
            help="Fraction of training done; repeatable. [default: 0, 0.5, 1]",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The .svg or .png file to write.")
    ] = Path("estimators.svg"),
    as_json: render.Json = False,
) -> None:
    """Plot the surrogate f of sign and its gradient f', at several points of the training."""
    outputs.check_file(output)
    from binarize import estimators
    from binarize.estimators import plot

    chosen = [estimators.get(name) for name in names or estimators.TABLE]
    at = sorted(set(progress or [0.0, 0.5, 1.0]))
    plot.plot(chosen, at, output)
    if as_json:
        shown = [estimator.name for estimator in chosen]
        render.emit_json({"file": str(output), "estimators": shown, "progress": at})
    render.say(f"wrote {output}")
    render.next_command(f"binarize convert resnet18 --estimator {chosen[-1].name}")


def _entry(estimator: Estimator, progress: float) -> dict[str, Any]:
    from binarize.estimators.indicators import distance_to_sign, gradient_variance

    return {
        "name": estimator.name,
        "formula": estimator.formula,
        "schedule": estimator.schedule,
        "source": estimator.source,
        "constants": [asdict(constant) for constant in estimator.constants()],
        "progress": progress,
        "distance_to_sign": _rounded(distance_to_sign(estimator, progress)),
        "gradient_variance": _rounded(gradient_variance(estimator, progress)),
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 6)


def _defaults(constants: list[dict[str, Any]]) -> str:
    """`a_end 0.8, clip none, adaptive schedule`."""
    return ", ".join(f"{constant['name']} {_word(constant['default'])}" for constant in constants)


def _word(default: float | str | None) -> str:
    if default is None or isinstance(default, str):
        return default or "none"
    return f"{default:g}"


COMMANDS = {"ls": ls, "plot": plot}
