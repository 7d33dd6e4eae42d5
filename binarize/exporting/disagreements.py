"""Why the logits of a model with binary inputs differ: rounding that flips signs, or a defect.

A sign makes whole logits of 1e-7 of rounding. Two things have to hold for that to be all:

    smooth surrogate the same file and the same model, with a slope for the threshold of each binary input,
                     match to 1e-5 of the largest logit: rounding stays rounding
    the first flip   of each image, in order of execution, is of inputs within 1e-5 of the RMS of
                     what the layer is given from the decision boundary; an image without a flip has equal
                     logits

A model that amplifies rounding more than is usual is allowed what `rounding` says: four times what its
own float32 is off from its float64, measured as far as neither has flipped a sign.

The bodies of the functions in a file decide what its ops mean, so the smooth surrogate is the file with
others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from binarize.exporting.forms.emit import ABOVE
from binarize.exporting.functions import ALL_OPS, DOMAINS, Op, function
from binarize.exporting.images import Images
from binarize.exporting.rounding import allowed, exact_copy, in_float64, relative
from binarize.layers import binary_weights, layer_name
from binarize.layers.activation import InputBinarizer, SignBinarizer, smooth_surrogate
from binarize.models import logits_of
from binarize.packing import unpack_activations
from binarize.runtime import quiet_session

SURROGATE_TOLERANCE = 1e-5
"""Of the surrogate's largest |logit|."""
FLIP_TOLERANCE = 1e-5
"""Of the RMS of a layer's input."""

Call = tuple[str, int]
"""A layer's name and, from 1 on, which of its executions."""


@dataclass(frozen=True)
class SignDisagreements:
    """What the difference of a file from its model was traced to.

    Attributes:
        clip_twin_diff: largest |onnx - torch| of the surrogates' logits, over the largest |torch|.
        flips: images with a sign that differs.
        largest_flip: over those images, the largest distance from the decision boundary among the inputs that
            differ in the first layer where any does, over the RMS of that layer's input.
        unflipped_diff: largest |onnx - torch| over the other images, over the largest |torch|.
        clip_twin_rounding, input_rounding, unflipped_rounding: the same of torch's float32 and float64;
            the second over all inputs, up to the first layer where those two differ in a sign. None where
            the model cannot compute in float64.
    """

    clip_twin_diff: float
    flips: int
    largest_flip: float
    unflipped_diff: float
    clip_twin_rounding: float | None = None
    input_rounding: float | None = None
    unflipped_rounding: float | None = None

    @property
    def clip_twin_allowed(self) -> float:
        return allowed(SURROGATE_TOLERANCE, self.clip_twin_rounding)

    @property
    def flip_allowed(self) -> float:
        return allowed(FLIP_TOLERANCE, self.input_rounding)

    def explain(self, tolerance: float) -> bool:
        """Whether flips are all that there is; `tolerance` is that of logits without one."""
        return (
            self.clip_twin_diff <= self.clip_twin_allowed
            and self.largest_flip < self.flip_allowed
            and self.unflipped_diff <= allowed(tolerance, self.unflipped_rounding)
        )


@torch.no_grad()
def find_disagreements(
    path: Path,
    model: nn.Module,
    images: Images,
    surrogate: Callable[[], bytes] | None = None,
    kernels: bool = False,
) -> SignDisagreements:
    """Compare the file with `model` in eval mode, sign by sign. `surrogate` makes the content of the smooth
    surrogate where the file has no binarize functions that could be exchanged; `kernels`: the file needs the
    binarize kernels."""
    file = onnx.load(path)
    probed = _Probed(file, kernels)
    exact = _Exact(model)
    flips, distances, others, largest = 0, [0.0], [0.0], 0.0
    for image in images.pixels.split(1):
        calls, expected = _watch(model, image)
        given, inputs = probed.run(image)
        exact.record(image, calls, expected)
        disagreement = _first_disagreement(calls, inputs)
        difference = (given - expected).abs().max().item()
        largest = max(largest, expected.abs().max().item())
        flips += disagreement is not None
        distances.append(disagreement or 0.0)
        others.append(difference if disagreement is None else 0.0)
    content = surrogate() if surrogate is not None else _surrogate_file(file)
    surrogate_difference, surrogate_rounding = _surrogate_differences(content, model, exact, images)
    return SignDisagreements(
        clip_twin_diff=surrogate_difference,
        flips=flips,
        largest_flip=float(np.max(distances)),
        unflipped_diff=float(np.max(others)) / largest,
        clip_twin_rounding=surrogate_rounding,
        input_rounding=exact.of_inputs,
        unflipped_rounding=exact.of_logits,
    )


@dataclass(frozen=True)
class _Input:
    """What a layer was given.

    Attributes:
        x: as float32.
        above: bool, where the binary input is the larger value.
        distance: |x + shift| or |x - threshold|.
    """

    x: Tensor
    above: Tensor
    distance: Tensor


def _first_disagreement(calls: dict[Call, _Input], inputs: dict[Call, Tensor]) -> float | None:
    """Largest distance from the decision boundary over the RMS, in the first layer with a sign that
    differs."""
    for call, own in calls.items():
        if (
            call not in inputs
        ):  # the same product of the same input again: computed once in the file
            continue
        differs = inputs[call].reshape(own.above.shape) != own.above
        if differs.any():
            rms = own.x.double().square().mean().sqrt()
            return (own.distance[differs].max() / rms).item()
    return None


class _Exact:
    """The model in float64, and how far the float32 one was found to be from it.

    Attributes:
        model: None where it cannot compute in float64.
        of_inputs: see `SignDisagreements.input_rounding`.
        of_logits: see `SignDisagreements.unflipped_rounding`.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model: nn.Module | None = exact_copy(model)
        self.of_inputs: float | None = None
        self.of_logits: float | None = None

    def record(self, image: Tensor, calls: dict[Call, _Input], logits: Tensor) -> None:
        """Compare what the float32 model did with the image."""
        if self.model is None:
            return
        try:
            exact_calls, expected = _watch(self.model, image.double())
        except (RuntimeError, TypeError):  # as in `in_float64`
            self.model = None
            return
        for call, own in calls.items():
            exact = exact_calls[call]
            off = (own.x.double() - exact.x).abs().max() / exact.x.square().mean().sqrt()
            self.of_inputs = max(self.of_inputs or 0.0, off.item())
            if (own.above != exact.above).any():
                return
        self.of_logits = max(self.of_logits or 0.0, relative(logits, expected))


def _watch(model: nn.Module, image: Tensor) -> tuple[dict[Call, _Input], Tensor]:
    """What every binary input of `model` is given, in order of execution, and the logits."""
    calls: dict[Call, _Input] = {}
    count: Counter[str] = Counter()
    handles = []
    for name, binarizer in _inputs(model):

        def hook(
            module: InputBinarizer, args: tuple[Tensor], output: Tensor, name: str = name
        ) -> None:
            count[name] += 1
            calls[name, count[name]] = _Input(args[0], output > 0, _distance(module, args[0]))

        handles.append(binarizer.register_forward_hook(hook))
    try:
        output = model(image)
    finally:
        for handle in handles:
            handle.remove()
    return calls, logits_of(output)


def _distance(module: InputBinarizer, x: Tensor) -> Tensor:
    from_boundary = module.shifted(x) if isinstance(module, SignBinarizer) else x - module.boundary
    return from_boundary.abs()


def _inputs(model: nn.Module) -> list[tuple[str, InputBinarizer]]:
    """Binary inputs under the name that the file has for their layer: that of its weight."""
    first: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        first.setdefault(id(parameter), name)
    return [
        (
            layer_name(*first[id(module._parameters[parameter])].rpartition(".")[::2]),
            binarizer.inputs,
        )
        for _, module, parameter, binarizer in binary_weights(model)
        if binarizer.inputs is not None
    ]


@dataclass(frozen=True)
class _Probe:
    """A tensor of a file that tells where a binary input is the larger value.

    Attributes:
        name: of the tensor: the input of a binarize op, or what the comparison answers where the form has
            standard ops.
        type: of its elements.
        above: its elements -> bool.
    """

    name: str
    type: int
    above: Callable[[np.ndarray], np.ndarray]


class _Probed:
    """A copy of a file, in memory, that answers with what its binary inputs are as well."""

    def __init__(self, file: onnx.ModelProto, kernels: bool) -> None:
        copy = onnx.ModelProto()
        copy.CopyFrom(file)
        graph = copy.graph
        self.image, self.logits = graph.input[0].name, graph.output[0].name
        constants = {one.name: one for one in graph.initializer}
        self.nodes: dict[Call, _Probe] = {}
        count: Counter[str] = Counter()
        for node in graph.node:
            probe = _probe(node, constants)
            if probe is not None:
                layer = node.name.removesuffix(ABOVE).partition("@")[0]
                count[layer] += 1
                self.nodes[layer, count[layer]] = probe
        types = {probe.name: probe.type for probe in self.nodes.values()}
        self.probes = sorted(set(types) - {self.image})
        known = {one.name for one in graph.output}
        graph.output.extend(
            helper.make_tensor_value_info(name, types[name], None)
            for name in self.probes
            if name not in known
        )
        self.runner = quiet_session(copy.SerializeToString(), kernels=kernels)

    def run(self, image: Tensor) -> tuple[Tensor, dict[Call, Tensor]]:
        """(logits, where each binary input is the larger value)."""
        feed = {self.image: image.numpy()}
        logits, *values = self.runner.run([self.logits, *self.probes], feed)
        seen = {**feed, **dict(zip(self.probes, values, strict=True))}
        above = {
            call: torch.from_numpy(probe.above(seen[probe.name]))
            for call, probe in self.nodes.items()
        }
        return torch.from_numpy(logits), above


def _probe(node: onnx.NodeProto, constants: dict[str, TensorProto]) -> _Probe | None:
    """What tells the binary input of this node; None where it has none."""
    if node.domain in DOMAINS and _is_binary(node.op_type):
        op = ALL_OPS[node.op_type]
        if op.packed:
            channels = _channels(node)
            axis = 1 if op.product == "Conv" else -1
            return _Probe(
                node.input[0],
                TensorProto.UINT32,
                lambda bits: unpack_activations(bits, channels, axis),
            )
        boundary = numpy_helper.to_array(constants[node.input[4]])
        return _Probe(node.input[0], TensorProto.FLOAT, lambda x: _above(op, x, boundary))
    if node.name.endswith(ABOVE):
        return _Probe(node.output[0], TensorProto.BOOL, lambda above: above)
    return None


def _is_binary(op: str) -> bool:
    return op in ALL_OPS and bool(ALL_OPS[op].binary)


def _channels(node: onnx.NodeProto) -> int:
    """Of what the node is given."""
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return attributes["shape"][1] * attributes.get("group", 1)


def _above(op: Op, x: np.ndarray, boundary: np.ndarray) -> np.ndarray:
    if op.binary == "Step":
        return x >= boundary
    if op.product == "Conv":
        boundary = boundary.reshape(-1, *[1] * (x.ndim - 2))
    return x + boundary >= 0


def _surrogate_differences(
    content: bytes, model: nn.Module, exact: _Exact, images: Images
) -> tuple[float, float | None]:
    """(of the file, of float64) from the smooth surrogate in float32."""
    runner = quiet_session(content)
    name = runner.get_inputs()[0].name
    with smooth_surrogate(model):
        expected = torch.cat([logits_of(model(batch)) for batch in images.batches()])
    given = np.concatenate([runner.run(None, {name: b.numpy()})[0] for b in images.batches()])
    difference = relative(torch.from_numpy(given), expected.double())
    if exact.model is None:
        return difference, None
    with smooth_surrogate(exact.model):
        answers = [in_float64(exact.model, batch) for batch in images.batches()]
    truth = [answer for answer in answers if answer is not None]
    if len(truth) < len(answers):
        return difference, None
    return difference, relative(expected, torch.cat(truth))


def _surrogate_file(file: onnx.ModelProto) -> bytes:
    copy = onnx.ModelProto()
    copy.CopyFrom(file)
    opset = next(entry.version for entry in copy.opset_import if not entry.domain)
    for body in copy.functions:
        if body.domain in DOMAINS and _is_binary(body.name):
            other = ir.to_proto(function(body.name, opset, smooth=True, domain=body.domain))
            body.ParseFromString(other.SerializeToString())
    return copy.SerializeToString()
