"""`binarize models`: the networks that can be named."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from binarize.cli import render

HELP = "Models: list those of timm and torchvision, and the CIFAR networks of binarize."
EXAMPLES = {
    "ls": """
        binarize models ls resnet
        binarize models ls 'torchvision/*' --json
    """
}


def ls(
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="A part of the name, or a quoted glob.")
    ] = "",
    as_json: render.Json = False,
) -> None:
    """List the models that every command takes, and whether pretrained weights exist.

    With a PATTERN, the best match comes first.
    """
    from binarize import models
    from binarize.errors import ModelError

    found = models.list_models(pattern)
    if not found:
        raise ModelError(f'no model matches "{pattern}"', "binarize models ls lists them all")
    if as_json:
        render.emit_json([asdict(model) for model in found])
    else:
        render.table(
            ("model", "library", "task", "pretrained"),
            (
                (model.name, model.library, model.task, "yes" if model.pretrained else "no")
                for model in found
            ),
            drop=("library", "task"),
        )
    render.say(f"{len(found)} model{'s' if len(found) > 1 else ''}")
    render.next_command(f"binarize convert {found[0].name}")


COMMANDS = {"ls": ls}
