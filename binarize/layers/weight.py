"""A binary weight: what stands where a layer's float weight stood.

The layer keeps its class's own forward, whatever that is. Only what its `weight` attribute means
changes: it is a property now, and reads as s·sign(z), computed from the latent weight, which stays
a parameter under its old key. So a layer whose weight is used by somebody else (attention that
calls `F.linear(x, self.qkv.weight)`, `nn.MultiheadAttention`, a convolution with padding of its
own) is binarized like any other, and float checkpoints load. See docs/decisions/0002.

    mu, sigma = mean and standard deviation of the latent weight w per output channel
    z   = (w - mu)/(sigma + 1e-8)      standardised (not where the fan-in is below 2: z = w, mu = 0)
    w_b = s·sign(z)                    s = mean |w - mu| per output channel, detached

The gradient reaches w through z whole, mu and sigma included (Libra parameter binarization of
IR-Net, arXiv 1909.10788).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from binarize.errors import ModelError
from binarize.estimators import Estimator, sign, widened
from binarize.layers.scale import Scale

EPSILON = 1e-8
SUFFIX = "_binarizer"


class WeightBinarizer(nn.Module):
    """Latent weight -> binary weight, both [out, ...]; a child of the layer that owns the weight.

    Statistics, surrogate gradient and scale are computed in float32 where the latent weight is
    narrower; what comes out has the latent weight's dtype.

    Attributes:
        progress: share of training done, 0 to 1; set by `set_progress` at every optimiser step.
        enabled: False makes the layer the float layer it was.
    """

    def __init__(self, estimator: Estimator, scale: Scale, standardise: bool = True) -> None:
        super().__init__()
        self.estimator = estimator
        self.scale = scale
        self.standardise = standardise
        self.progress = 0.0
        self.enabled = True

    def forward(self, latent: Tensor) -> Tensor:
        if not self.enabled:
            return latent
        centred, standardised = self.standardised(latent)
        binary = self.scale(centred) * self.estimator(standardised, self.progress)
        return binary.to(latent.dtype)

    def standardised(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """(w - mu, z), both of the latent weight's shape."""
        latent = widened(latent)
        if not self.standardise or latent[0].numel() < 2:
            return latent, latent
        dims = tuple(range(1, latent.ndim))
        centred = latent - latent.mean(dims, keepdim=True)
        return centred, centred / (centred.std(dims, keepdim=True) + EPSILON)

    @torch.no_grad()
    def frozen(self, latent: Tensor) -> FrozenWeight:
        """The signs and scales that the forward multiplies, kept apart."""
        centred, standardised = self.standardised(latent)
        scale = self.scale(centred).to(latent.dtype).reshape(-1).expand(len(latent))
        return FrozenWeight(sign(standardised) > 0, scale.contiguous())

    def extra_repr(self) -> str:
        return f"{self.estimator}, scale={self.scale.name}, standardise={self.standardise}"


@dataclass(frozen=True)
class FrozenWeight:
    """What is left of a latent weight when training is over.

    Attributes:
        positive: bool[out, ...]; True where the sign is +1.
        scale: s, [out], in the latent weight's dtype.
    """

    positive: Tensor
    scale: Tensor

    @property
    def value(self) -> Tensor:
        """±s as a float tensor."""
        scale = self.scale.reshape(-1, *[1] * (self.positive.ndim - 1))
        return torch.where(self.positive, scale, -scale)


def binarize_weight(module: nn.Module, parameter: str, binarizer: WeightBinarizer) -> None:
    """Make `module.<parameter>` read as its binary weight, in place. state_dict keys stay.

    Raises ModelError where that is no parameter of two dimensions or more, or is binary already.
    """
    latent = module._parameters.get(parameter)
    binary = _binary_parameters(module)
    if latent is None or latent.ndim < 2 or parameter in binary:
        raise ModelError(
            f"{type(module).__name__}.{parameter} cannot be binarized",
            "it has to be a float parameter of two dimensions or more, not normalised by torch's "
            "weight_norm or parametrize",
        )
    module.__class__ = _class_with(_float_class(module), frozenset({*binary, parameter}))
    module.add_module(parameter + SUFFIX, binarizer)


def restore_weight(module: nn.Module, parameter: str, value: Tensor | None = None) -> None:
    """Undo `binarize_weight`; with `value`, put that in the latent weight's place."""
    module.__class__ = _class_with(_float_class(module), _binary_parameters(module) - {parameter})
    del module._modules[parameter + SUFFIX]
    if value is not None:
        latent = module._parameters[parameter]
        module._parameters[parameter] = nn.Parameter(value, requires_grad=latent.requires_grad)


def _float_class(module: nn.Module) -> type[nn.Module]:
    return getattr(type(module), "_float_class", type(module))


def _binary_parameters(module: nn.Module) -> frozenset[str]:
    return getattr(type(module), "_binary_parameters", frozenset())


@functools.cache
def _class_with(cls: type[nn.Module], parameters: frozenset[str]) -> type[nn.Module]:
    """A subclass of `cls` that differs only in what `parameters` read as; `cls` itself for none."""
    if not parameters:
        return cls
    body = {name: property(_reader(name)) for name in parameters}
    kept = {"_float_class": cls, "_binary_parameters": parameters, "__module__": __name__}
    return type(f"Binary{cls.__name__}", (cls,), body | kept)


def _reader(parameter: str) -> Callable[[nn.Module], Tensor]:
    def read(module: nn.Module) -> Tensor:
        try:
            return module._modules[parameter + SUFFIX](module._parameters[parameter])
        except AttributeError as error:
            # nn.Module.__getattr__ would answer it with the latent weight: float, and silent.
            raise RuntimeError(f"the binary weight cannot be computed: {error}") from error

    return read


def binary_weights(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, WeightBinarizer]]:
    """(layer name, module that owns the weight, its parameter's name, binarizer), in module order.

    The layer name is the module's, with the parameter's appended unless that is "weight".
    """
    for name, module in model.named_modules():
        for child, binarizer in module._modules.items():
            if isinstance(binarizer, WeightBinarizer):
                parameter = child.removesuffix(SUFFIX)
                yield layer_name(name, parameter), module, parameter, binarizer


def layer_name(module: str, parameter: str) -> str:
    """The one way in which layers are called: `layer1.0.conv1`, `attn.in_proj_weight`."""
    if parameter == "weight":
        return module
    return f"{module}.{parameter}" if module else parameter


def set_progress(model: nn.Module, progress: float) -> None:
    """Tell every estimator in `model` how far training is (0 to 1)."""
    for _, _, _, binarizer in binary_weights(model):
        binarizer.progress = progress


@contextlib.contextmanager
def binarization_off(model: nn.Module) -> Iterator[None]:
    """The float model that `model` was before, for as long as the block lasts.

    It is the model itself that changes: no other thread may be running it.
    """
    binarizers = [binarizer for *_, binarizer in binary_weights(model)]
    before = [binarizer.enabled for binarizer in binarizers]
    try:
        for binarizer in binarizers:
            binarizer.enabled = False
        yield
    finally:
        for binarizer, enabled in zip(binarizers, before, strict=True):
            binarizer.enabled = enabled


@torch.no_grad()
def freeze(model: nn.Module) -> dict[str, FrozenWeight]:
    """Replace every binary weight by the constant ±s, in place, and return them by parameter name.

    The model is then a plain float model with the classes it had before conversion, whose listed
    parameters (keys as in its state_dict) hold one positive and one negative value per channel.
    """
    frozen = {}
    paths = {id(module): name for name, module in model.named_modules()}
    for _, module, parameter, binarizer in list(binary_weights(model)):
        weight = binarizer.frozen(module._parameters[parameter])
        restore_weight(module, parameter, weight.value)
        path = paths[id(module)]
        frozen[f"{path}.{parameter}" if path else parameter] = weight
    return frozen
