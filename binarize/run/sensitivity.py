"""sensitivity.json of a run: what each layer does to the answers when it alone is binary."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from binarize.run.conversion import Bases
from binarize.run.fit import PerCent
from binarize.run.record import Record

Name = Annotated[str, Field(max_length=500)]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]


class LayerSensitivity(Record):
    """One layer, with its weight binary (and its input, where the conversion makes that binary) and all else
    float.

    Attributes:
        name: of the layer.
        bases: how many binary weights add up to its weight.
        kl: mean over the images of sum p_f·log(p_f/p_b), in nats; p_f, p_b: the softmax of the float
            network's logits, and of those with this layer binary.
        agreement: per cent of the images on which both have the same first answer.
        params: weights of the layer.
        bytes_float, bytes_1bit: that they take; the bits of every base.
    """

    name: Name
    bases: Bases
    kl: float
    agreement: PerCent
    params: Count
    bytes_float: Count
    bytes_1bit: Count


class Sensitivities(Record):
    """What binarizing each layer alone does, the most sensitive first.

    Attributes:
        model: the float model.
        images: that the answers were compared on.
        statistics: of batch norms: those of the float network, or of the batch, as while a network is fitted.
        layers: once for each number of bases that was tried.
    """

    model: Name
    images: Count
    statistics: Literal["float", "batch"] = "float"
    layers: list[LayerSensitivity]

    def ranked(self) -> list[LayerSensitivity]:
        """Every layer once, at the fewest bases that were tried, the most sensitive first."""
        fewest: dict[str, LayerSensitivity] = {}
        for each in sorted(self.layers, key=lambda each: each.bases):
            fewest.setdefault(each.name, each)
        return sorted(fewest.values(), key=lambda each: -each.kl)
