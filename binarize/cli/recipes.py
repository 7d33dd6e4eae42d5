"""`binarize recipes`: list, read, copy and check recipes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from binarize import outputs
from binarize.cli import next_step, render
from binarize.errors import RecipeError

if TYPE_CHECKING:
    from binarize.recipe import Recipe

HELP = "Recipes: list, show, copy and validate them."

Name = Annotated[
    str,
    typer.Argument(metavar="NAME|FILE", help="A name from `binarize recipes ls`, or a .yaml file."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a key, such as stages.0.epochs=3; repeatable."
    ),
]


def ls(as_json: render.Json = False) -> None:
    """List the recipes that come with binarize."""
    from binarize.recipe import load, shipped

    rows = [_row(name, load(name)) for name in shipped()]
    if as_json:
        render.emit_json(rows)
    columns = ("name", "model", "data", "duration", "description")
    render.table(
        columns,
        [[row[column] for column in columns] for row in rows],
        prose=("description",),
        drop=("duration", "data", "model"),
    )
    render.next_command("binarize recipes show digits")


def show(
    recipe: Name,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Write out extends, --set and all defaults.")
    ] = False,
    overrides: Set = None,
    as_json: render.Json = False,
) -> None:
    """Print a recipe as written, or with everything resolved (--resolved, --set or --json)."""
    from binarize.recipe import as_data, dump, find, load

    checked = load(recipe, overrides or [])
    if as_json:
        render.emit_json(as_data(checked))
    else:
        whole = resolved or overrides
        text = dump(checked) if whole else find(recipe)[0].read_text(encoding="utf-8-sig")
        render.document(text)
        render.use_json(True)  # so that `show … > mine.yaml` is a recipe and nothing else
    render.next_command(next_step.training(recipe, checked))


def cp(
    recipe: Annotated[
        str, typer.Argument(metavar="NAME", help="A name from `binarize recipes ls`.")
    ],
    to: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="The copy. [default: NAME.yaml, in this directory]"),
    ] = None,
    as_json: render.Json = False,
) -> None:
    """Copy a recipe, to change the copy."""
    from binarize.recipe import shipped_path
    from binarize.run import write_text

    shipped_file = shipped_path(recipe)
    path = to or Path(shipped_file.name)
    path = path / shipped_file.name if path.is_dir() else path
    if path.exists():
        raise RecipeError(f'"{path}" exists already', "name another file after the recipe")
    outputs.check_file(path, RecipeError)
    write_text(path, shipped_file.read_text(encoding="utf-8"))
    if as_json:
        render.emit_json({"recipe": recipe, "file": str(path)})
    render.say(f"copied {recipe} to {path}")
    render.next_command(f"binarize recipes validate {path}")


def validate(
    recipes: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME|FILE", help="Names from `binarize recipes ls`, or .yaml files."
        ),
    ],
    overrides: Set = None,
    as_json: render.Json = False,
) -> None:
    """Check recipes without running them: every error of each, with its file and line.

    Beyond the schema, the names of models, estimators (with their constants) and optimisers are looked up.
    """
    from binarize.recipe import load

    wrong, valid = [], []
    for recipe in recipes:
        try:
            valid.append(load(recipe, overrides or [], check=unknown_names))
        except RecipeError as error:
            wrong.append(error)
        else:
            render.say(f"{recipe} is valid")
    if wrong:
        raise RecipeError("\n".join(error.message for error in wrong), wrong[0].hint)
    if as_json:
        render.emit_json([{"recipe": recipe, "valid": True} for recipe in recipes])
    render.next_command(next_step.training(recipes[0], valid[0]))


def schema(
    to: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write to FILE. [default: stdout]"),
    ] = None,
    as_json: render.Json = False,
) -> None:
    """Print the JSON Schema of recipes, with which editors complete and check them.

    The output is JSON with and without --json.
    """
    if to is not None:
        outputs.check_file(to, RecipeError)
    from binarize.recipe import json_schema
    from binarize.run import write_json

    render.use_json(True)  # the schema is data by nature: stdout holds it alone
    if to is None:
        render.emit_json(json_schema())
    else:
        write_json(to, json_schema())
        render.say(f"wrote {to}")
    render.next_command("binarize recipes cp digits mine.yaml")


def unknown_names(recipe: Recipe) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What torch and timm have to be asked about: names of models, estimators and optimisers."""
    from binarize import estimators, models

    if recipe.model:
        yield from _refusal(("model", "name"), models.parse, recipe.model.name)
    if recipe.binarize:
        name, constants = recipe.binarize.estimator.name, recipe.binarize.estimator.constants
        at = ("binarize", "estimator")
        if name not in estimators.TABLE:
            constants = {}
            yield from _refusal((*at, "name"), estimators.get, name)
        for constant, value in constants.items():
            yield from _refusal((*at, constant), estimators.get, name, **{constant: value})
    yield from _unknown_optimizers(recipe)


def _refusal(path: tuple[str | int, ...], look_up: Any, *args: Any, **kwargs: Any) -> Any:
    """`path` and what `look_up` has against its arguments; nothing where it takes them."""
    from binarize.errors import BinarizeError

    try:
        look_up(*args, **kwargs)
    except BinarizeError as error:
        yield path, "; ".join(part for part in (error.message, error.hint) if part)


def _unknown_optimizers(recipe: Recipe) -> Iterator[tuple[tuple[str | int, ...], str]]:
    from timm.optim import list_optimizers

    from binarize.errors import did_you_mean

    known = [str(name) for name in list_optimizers()]
    for index, stage in enumerate(recipe.stages):
        name = stage.optimizer.name
        if name.lower() not in known:
            hint = did_you_mean(name, known) or "timm.optim.list_optimizers() has them all"
            path = ("stages", index, "optimizer", "name")
            yield path, f'there is no optimiser "{name}"; {hint}'


def _row(name: str, recipe: Recipe) -> dict[str, Any]:
    durations = [
        f"{stage.epochs} epochs" if stage.epochs else f"{stage.steps} steps"
        for stage in recipe.stages
    ]
    return {
        "name": name,
        "model": recipe.model.name if recipe.model else "any",
        "data": recipe.data.name,
        "duration": " + ".join(durations),
        "twin": recipe.twin,
        "description": recipe.description,
    }


COMMANDS = {"ls": ls, "show": show, "cp": cp, "validate": validate, "schema": schema}
EXAMPLES = {
    "ls": """
        binarize recipes ls
        binarize recipes ls --json
    """,
    "show": """
        binarize recipes show digits
        binarize recipes show digits --resolved --set stages.0.epochs=3
    """,
    "cp": """
        binarize recipes cp digits
        binarize recipes cp cifar10-resnet20 mine.yaml
    """,
    "validate": """
        binarize recipes validate digits
        binarize recipes validate cifar10-resnet20 --set binarize.estimator=reste
    """,
    "schema": """
        binarize recipes schema
        binarize recipes schema -o recipe.schema.json
    """,
}
