"""The edits of block surgery, as a run keeps them: they name modules and numbers, nothing else."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

LARGEST_COUNT = 1 << 24

Small = Annotated[int, Field(ge=-64, le=4096)]
Channels = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]


class Block(TypedDict):
    """A module whose forward was edited, and what of its arguments are tensors."""

    module: str
    arguments: dict[str, Literal["tensor"] | tuple[Literal["list", "tuple"], Small]]


ReplacedRelu = TypedDict(
    "ReplacedRelu",
    {
        "pass": Literal["replace_relu"],
        "form": Literal["dropped", "rprelu"],
        "inplace": bool,
        "channels": Channels,
        "axis": Small,
        "module": "str | None",
        "block": "Block | None",
        "target": str,
        "ordinal": Small,
    },
)
AddedShortcut = TypedDict(
    "AddedShortcut",
    {
        "pass": Literal["shortcut"],
        "layer": str,
        "block": Block,
        "taken": tuple[str, Small, Small],
        "behind": tuple[str, Small],
        "stride": Small,
    },
)
Edit = Annotated[ReplacedRelu | AddedShortcut, Field(discriminator="pass")]
"""One edit of block surgery, see `rewrite.surgery`."""
