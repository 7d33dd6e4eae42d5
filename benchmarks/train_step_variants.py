"""What `train_step.py` compares: one network, trained by one step at a time, in several ways.

A variant is a network that was made ready, and its optimiser; `Variant.step` is a whole training step:
forward under bf16 autocast, cross-entropy, backward, SGD with momentum. Estimators are told a new progress at
every step, as in a training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from binarize.layers import binary_inputs, binary_weights, calibrate, set_progress
from binarize.rewrite import Options, SourceOptions, convert_float, open_float

STEPS_OF_A_TRAINING = 1000
"""Over which the progress goes from 0 to 1."""


@dataclass(frozen=True)
class Recipe:
    """How to make a variant's network of the float one.

    Attributes:
        against: the variant that its time and memory are compared with.
        limit: the most that it may take of that one's time.
        memory: the most that it may take of that one's peak memory.
    """

    options: Options | None = None
    compiled: bool = False
    brevitas: str = ""
    against: str = "float"
    limit: float | None = None
    memory: float | None = None


W1A32 = {"limit": 1.25, "memory": 1.15}
RECIPES = {
    "float": Recipe(),
    "w1a32 ab-tanh": Recipe(Options(), **W1A32),
    "w1a32 ste": Recipe(Options(estimator="ste"), **W1A32),
    "w1a1 step": Recipe(Options(activations="step"), limit=1.5),
    "w1a1 sign bireal": Recipe(Options(activations="sign", structure="bireal"), limit=1.5),
    "brevitas const": Recipe(brevitas="const"),
    "brevitas stats": Recipe(brevitas="stats"),
    "float compiled": Recipe(compiled=True, against="float compiled"),
    "w1a32 ab-tanh compiled": Recipe(
        Options(), compiled=True, against="float compiled", limit=1.10, memory=1.15
    ),
}
"""Brevitas: 1-bit weights by its own quantizers, in the layers that W1A32 binarizes: sign times 0.1, the
cheapest that it has (its BNN-PYNQ examples), and sign times mean |w| per output channel, what W1A32 computes
too, but for the standardisation."""


class Variant:
    """One network under training on one batch.

    Args:
        batch: images on their device, channels_last, and labels.
    """

    def __init__(self, name: str, model: str, batch: tuple[Tensor, Tensor]) -> None:
        self.recipe, self.batch = RECIPES[name], batch
        self.images, self.labels = batch
        torch.manual_seed(0)
        self.network = _network(self.recipe, model).train()
        self.network.to(self.images.device, memory_format=torch.channels_last)
        if any(binary_inputs(self.network)):
            calibrate(self.network, [self.images])
        self.forward: Callable[[Tensor], Tensor] = self.network
        if self.recipe.compiled:
            self.forward = torch.compile(self.network)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9)
        self.steps = 0

    def step(self) -> Tensor:
        """One optimiser step. Returns the loss."""
        set_progress(self.network, (self.steps % STEPS_OF_A_TRAINING) / STEPS_OF_A_TRAINING)
        self.steps += 1
        with torch.autocast(self.images.device.type, dtype=torch.bfloat16):
            loss = F.cross_entropy(self.forward(self.images), self.labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    def held(self) -> int:
        """Bytes that stay between two steps: parameters, buffers, momentum, the batch."""
        state = self.optimizer.state.values()
        tensors = [
            *self.network.parameters(),
            *self.network.buffers(),
            *self.batch,
            *(value for values in state for value in values.values() if isinstance(value, Tensor)),
        ]
        return sum(tensor.nbytes for tensor in tensors)


def binary_layers(model: str) -> int:
    """How many layers of that model W1A32 binarizes."""
    return len(_layers(model))


def _network(recipe: Recipe, model: str) -> nn.Module:
    float_model = open_float(model, SourceOptions(pretrained=False))
    if recipe.options is not None:
        return convert_float(float_model, recipe.options).conversion.model
    if recipe.brevitas:
        return _with_brevitas(float_model.model, _layers(model), recipe.brevitas)
    return float_model.model


def _layers(model: str) -> list[str]:
    float_model = open_float(model, SourceOptions(pretrained=False))
    converted = convert_float(float_model, Options()).conversion.model
    return [name for name, _, _, _ in binary_weights(converted)]


def _with_brevitas(network: nn.Module, layers: list[str], scaling: str) -> nn.Module:
    """Put Brevitas' convolutions in the place of these layers."""
    from brevitas.nn import QuantConv2d

    for name in layers:
        old = network.get_submodule(name)
        assert isinstance(old, nn.Conv2d)
        new = QuantConv2d(
            old.in_channels,
            old.out_channels,
            old.kernel_size,
            old.stride,
            old.padding,
            groups=old.groups,
            bias=old.bias is not None,
            weight_quant=_quantizer(scaling),
        )
        new.weight.data.copy_(old.weight.data)
        owner, _, child = name.rpartition(".")
        setattr(network.get_submodule(owner), child, new)
    return network


def _quantizer(scaling: str) -> type:
    """Brevitas' 1-bit weight with a constant scale, or with mean |w| per output channel."""
    from brevitas.core.zero_point import ZeroZeroPoint
    from brevitas.inject.enum import (
        BitWidthImplType,
        QuantType,
        RestrictValueType,
        ScalingImplType,
        StatsOp,
    )
    from brevitas.quant.solver import WeightQuantSolver

    class Constant(WeightQuantSolver):
        quant_type = QuantType.BINARY
        bit_width_impl_type = BitWidthImplType.CONST
        bit_width = 1
        zero_point_impl = ZeroZeroPoint
        scaling_impl_type = ScalingImplType.CONST
        scaling_const = 0.1
        restrict_scaling_type = RestrictValueType.FP
        signed = True

    class PerChannelMean(Constant):
        scaling_impl_type = ScalingImplType.STATS
        scaling_stats_op = StatsOp.AVE
        scaling_per_output_channel = True

    return Constant if scaling == "const" else PerChannelMean


def available(names: list[str]) -> Iterator[str]:
    """Those of these variants that can be made here."""
    try:
        import brevitas  # noqa: F401
    except ImportError:
        print("brevitas is not installed: see the head of train_step.py")
        names = [name for name in names if not RECIPES[name].brevitas]
    yield from names
