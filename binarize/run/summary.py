"""summary.json and env.json of a run, checked: what is shown of them is a number or a word."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from binarize.run.record import Record

Count = Annotated[int, Field(ge=0, lt=1 << 63)]


class Told(Record):
    """Base of what is only shown: it may say more than this version knows."""

    model_config = ConfigDict(extra="allow")


class LayerRecord(Told):
    """A line of the layer table, see `rewrite.Row`."""

    name: str
    kind: str
    shape: Annotated[list[Count], Field(max_length=16)]
    source: str
    action: str
    reason: str
    params: Count
    macs: Count
    activations: str = "float"
    weights: str = ""


class TotalsRecord(Told):
    """The sums over all layers, see `rewrite.Totals`."""

    params_1bit: Count
    params_32bit: Count
    macs_1bit: Count
    macs_32bit: Count
    bytes_float: Count
    bytes_packed: Count


class SummaryRecord(Told):
    """The contents of summary.json."""

    layers: list[LayerRecord]
    totals: TotalsRecord


class MachineRecord(Told):
    """By what a run was made."""

    cpu: str = "CPU"
    cores: int | None = None
    accelerators: list[str] = Field(default_factory=list)


class EnvironmentRecord(Told):
    """The contents of env.json: the versions of packages by their names, and the machine."""

    versions: dict[str, str | None] = Field(default_factory=dict)
    machine: MachineRecord | None = None
