"""Put binary weights into a model, in place, and take them out again.

The layer keeps its class's own forward, whatever that is. Only what its `weight` attribute means
changes: it is a property now, and reads as s·sign(z), computed from the latent weight, which stays
a parameter under its old key. So a layer whose weight is used by somebody else (attention that
calls `F.linear(x, self.qkv.weight)`, a convolution with padding of its own) is binarized like any
other, and float checkpoints load. See docs/decisions/0002.

The classes that need more than that (weights that are transformed before use, attention that hands its
weights to one fused function) are those of `layers.adapters`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from binarize.errors import ModelError
from binarize.layers import adapters
from binarize.layers.activation import InputBinarizer
from binarize.layers.product import BinaryWeight
from binarize.layers.unnamed import reduced
from binarize.layers.weight import FrozenProduct, FrozenWeight, WeightBinarizer

SUFFIX = "_binarizer"


def binarize_weight(
    module: nn.Module,
    parameter: str,
    binarizer: WeightBinarizer,
    inputs: InputBinarizer | None = None,
) -> None:
    """Make `module.<parameter>` read as its binary weight, in place; with `inputs`, what it is multiplied
    by becomes binary too. The state_dict keeps its keys and gains those of `inputs` and of what the
    binarizer learns.

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
    if inputs is not None:
        binarizer.inputs = inputs.to(latent.device)
    module.add_module(parameter + SUFFIX, binarizer.train(module.training))
    binarizer.attach(adapters.find(_float_class(module)).weight(module, latent)[0])


def _float_class(module: nn.Module) -> type:  # mypy takes no type[nn.Module] for hashable
    return getattr(type(module), "_float_class", type(module))


def _binary_parameters(module: nn.Module) -> frozenset[str]:
    return getattr(type(module), "_binary_parameters", frozenset())


@functools.cache
def _class_with(
    cls: type[nn.Module], parameters: frozenset[str], frozen: bool = False
) -> type[nn.Module]:
    """A subclass of `cls` that differs only in what `parameters` read as, and in what its adapter
    changes; `cls` itself for no parameters, unless it is `frozen`."""
    if not parameters and not frozen:
        return cls
    adapter = adapters.find(cls)
    body = {name: property(_reader(name, adapter)) for name in parameters}
    kept = {"_float_class": cls, "_binary_parameters": parameters, "__module__": __name__}

    def __reduce_ex__(module: nn.Module, protocol: Any) -> Any:
        return reduced(module, protocol, cls, _new, cls, sorted(parameters), frozen)

    kept["__reduce_ex__"] = __reduce_ex__
    return type(f"Binary{cls.__name__}", (cls,), adapter.methods(cls) | body | kept)


def _new(cls: Any, parameters: Collection[str], frozen: bool, *arguments: Any) -> Any:
    """An object of the subclass of `cls`, as pickle makes one: without `__init__`."""
    made = _class_with(cls, frozenset(parameters), frozen)
    return made.__new__(made, *arguments)


def _reader(
    parameter: str, adapter: adapters.Adapter[Any]
) -> Callable[[nn.Module], Tensor | BinaryWeight]:
    def read(module: nn.Module) -> Tensor | BinaryWeight:
        try:
            latent = module._parameters[parameter]
            binarizer = module._modules[parameter + SUFFIX]
            assert latent is not None
            if isinstance(binarizer, FrozenProduct):
                return binarizer.read(latent)
            return adapter.read(module, cast(WeightBinarizer, binarizer), latent)
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


def binary_inputs(model: nn.Module) -> Iterator[tuple[str, InputBinarizer]]:
    """(layer name, binarizer) of every layer with a binary input, in module order."""
    for name, _, _, binarizer in binary_weights(model):
        if binarizer.inputs is not None:
            yield name, binarizer.inputs


def layer_name(module: str, parameter: str) -> str:
    """The one way in which layers are called: `layer1.0.conv1`, `attn.in_proj_weight`."""
    if parameter == "weight":
        return module
    return f"{module}.{parameter}" if module else parameter


def set_progress(model: nn.Module, progress: float, layers: Collection[str] | None = None) -> None:
    """Tell every estimator in `model`, or those of some layers, how far training is (0 to 1)."""
    for name, _, _, binarizer in binary_weights(model):
        if layers is None or name in layers:
            binarizer.progress = progress


@torch.no_grad()
def freeze(model: nn.Module) -> dict[str, FrozenWeight]:
    """Replace every binary weight by the constant ±s, in place, and return them by parameter name.

    The model is then a plain float model with the classes it had before conversion, whose listed
    parameters (keys as in its state_dict) hold one positive and one negative value per channel. A layer
    with a binary input holds ±1, and its product is a `FrozenProduct`: for the exporter alone.
    """
    frozen: dict[str, FrozenWeight] = {}
    paths = {id(module): name for name, module in model.named_modules()}
    for _, module, parameter, binarizer in list(binary_weights(model)):
        path = paths[id(module)]
        weights = adapters.find(_float_class(module)).freeze(module, parameter, binarizer)
        for name, weight in weights.items():
            frozen[f"{path}.{name}" if path else name] = weight
        if parameter in weights:
            _put_frozen(module, parameter, weights[parameter])
    for module in list(model.modules()):
        adapters.find(_float_class(module)).prepare_export(module)
    return frozen


def _put_frozen(module: nn.Module, parameter: str, weight: FrozenWeight) -> None:
    """Put a frozen weight in the place of the latent one, and stop computing it."""
    latent = module._parameters[parameter]
    assert latent is not None
    value = nn.Parameter(weight.value, requires_grad=latent.requires_grad)
    module._parameters[parameter] = value
    binary = _binary_parameters(module)
    if weight.inputs is not None:
        module._modules[parameter + SUFFIX] = FrozenProduct(weight)
        return
    del module._modules[parameter + SUFFIX]
    cls = _float_class(module)
    transforms = adapters.find(cls).transforms  # a constant ±s is not to be transformed again
    module.__class__ = _class_with(cls, binary - {parameter}, frozen=transforms)
