"""What a conversion amounts to: parameters, MACs and bytes, binary and float."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from binarize.rewrite.convert import Conversion, Row


@dataclass(frozen=True)
class Totals:
    """Sums over the model.

    Attributes:
        params_1bit, params_32bit: parameters that take one bit, and all others; of several bases, every bit.
        macs_1bit, macs_32bit: multiply-accumulates of convolutions and linear layers for one image, those of
            every base.
        bytes_float: of the float parameters, 4 each.
        bytes_packed: predicted size of the packed ONNX file.
    """

    params_1bit: int
    params_32bit: int
    macs_1bit: int
    macs_32bit: int
    bytes_float: int
    bytes_packed: int


def totals(conversion: Conversion, bytes_packed: int) -> Totals:
    """Add up a conversion's layer table; a parameter used under two names counts once."""
    binary = [row for row in conversion.rows if row.action == "binarized"]
    params = sum(parameter.numel() for parameter in _parameters(conversion.model))
    macs = sum(row.macs for row in conversion.rows)
    return Totals(
        params_1bit=sum(row.bases * row.params for row in binary),
        params_32bit=params - sum(row.params for row in binary),
        macs_1bit=sum(row.bases * row.macs for row in binary),
        macs_32bit=macs - sum(row.macs for row in binary),
        bytes_float=4 * params,
        bytes_packed=bytes_packed,
    )


def _parameters(model: nn.Module) -> list[nn.Parameter]:
    return list(model.parameters())


def summary(rows: list[Row], totals: Totals) -> dict[str, Any]:
    """The contents of summary.json."""
    return {"layers": [asdict(row) for row in rows], "totals": asdict(totals)}
