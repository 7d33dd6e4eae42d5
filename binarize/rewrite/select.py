"""Which layers become binary, and why the others are kept float."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from torch import fx, nn

from binarize.errors import PatternError, did_you_mean
from binarize.layers import adapters
from binarize.rewrite.capture import Trace
from binarize.rewrite.downsample import downsample_layers
from binarize.rewrite.gates import gate_layers
from binarize.rewrite.inventory import Layer, inventory, unmoved
from binarize.rewrite.nodes import function_name
from binarize.rewrite.options import matches
from binarize.run import LayerChoice

RECURRENT = (nn.LSTM, nn.GRU, nn.RNN)
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
MATRIX_PRODUCTS = {"matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "tensordot", "bilinear"}
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def kept_reasons(
    model: nn.Module,
    trace: Trace,
    layers: list[Layer],
    keep: Sequence[str] = (),
    include: Sequence[str] = (),
    submodule: str | None = None,
    binary_inputs: bool = False,
) -> dict[str, str]:
    """Layer name -> why it stays float, for the layers that do.

    `keep` wins over `include`, and `include` over the default rules; what cannot be binarized is kept in
    any case. Raises PatternError for a pattern that matches no layer, and for one of `include` that
    matches only what cannot be binarized.
    """
    impossible = _impossible(model, layers, submodule, binary_inputs)
    unseen = {name: reason for name, _, _, reason in unseen_layers(model, layers, submodule)}
    included = _included(layers, include, {**unseen, **impossible})
    by_rule = _by_rule(model, trace, layers, submodule)
    if binary_inputs:
        for name in downsample_layers(trace.graph, layers):
            by_rule.setdefault(name, "downsample convolution")
    by_rule = {name: reason for name, reason in by_rule.items() if name not in included}
    return {**by_rule, **impossible, **_by_pattern(layers, keep)}


def _impossible(
    model: nn.Module, layers: list[Layer], submodule: str | None, binary_inputs: bool
) -> dict[str, str]:
    """The executed layers that no option binarizes, and why."""
    reasons = {}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for layer in layers:
        adapter = adapters.find(type(model.get_submodule(layer.parameter.rpartition(".")[0])))
        if _outside(layer.name, submodule):
            reasons[layer.name] = f"outside the {submodule}"
        elif layer.parameter not in parameters:
            reasons[layer.name] = "a fixed filter, not a parameter"
        elif not parameters[layer.parameter].is_floating_point():
            reasons[layer.name] = "its weight holds no floating-point numbers"
        elif not layer.direct and not adapter.transforms:
            reasons[layer.name] = "its module transforms the weight before use"
        elif binary_inputs and not adapter.binary_inputs:
            reasons[layer.name] = adapter.why_not
    return reasons


def _by_rule(
    model: nn.Module, trace: Trace, layers: list[Layer], submodule: str | None
) -> dict[str, str]:
    """The layers that stay float unless the user includes them, and why."""
    gates = gate_layers(trace.graph, layers)
    first = _first(trace.graph, layers)
    last = _classifier(model, trace.graph, layers, submodule)
    reasons = {
        layer.name: (layer.name in first and "first layer")
        or (layer.name in last and "classifier")
        or (layer.fed_by == "constant" and "fed by constants, not by the image")
        or (layer.depthwise and "depthwise")
        or (layer.name in gates and "squeeze-excite or gate")
        for layer in layers
    }
    return {name: reason for name, reason in reasons.items() if reason}


def unseen_layers(
    model: nn.Module, layers: list[Layer], submodule: str | None = None
) -> list[tuple[str, str, tuple[int, ...], str]]:
    """(name, kind, weight shape, reason) of modules with weights that the trace cannot binarize."""
    own = dict(model.named_parameters(remove_duplicate=False))
    seen = {id(own[layer.parameter]) for layer in layers if layer.parameter in own}
    rows: list[tuple[str, str, tuple[int, ...], str]] = []
    for name, module in model.named_modules():
        if isinstance(module, RECURRENT):
            rows.append((name, type(module).__name__.lower(), (), type(module).__name__))
        elif isinstance(module, TRANSPOSED):
            shape = tuple(module.weight.shape)
            rows.append((name, "conv_transpose", shape, "transposed convolution"))
        elif isinstance(module, WEIGHTED):
            latent = module._parameters.get("weight")
            if latent is not None and id(latent) not in seen:
                kind = "linear" if isinstance(module, nn.Linear) else f"conv{latent.ndim - 2}d"
                rows.append((name, kind, tuple(latent.shape), "not executed"))
    return [
        (name, kind, shape, f"outside the {submodule}" if _outside(name, submodule) else reason)
        for name, kind, shape, reason in rows
    ]


def multiplied_otherwise(
    model: nn.Module, trace: Trace, layers: list[Layer]
) -> list[tuple[str, str, tuple[int, ...]]]:
    """(state_dict key, function, shape) of matrices that are multiplied by no layer of the inventory: by
    `einsum`, `matmul` and the like."""
    seen = {layer.parameter for layer in layers}
    own = dict(model.named_parameters(remove_duplicate=False))
    found: dict[str, tuple[str, str, tuple[int, ...]]] = {}
    for node in trace.graph.nodes:
        if function_name(node).strip("_").removeprefix("r") not in MATRIX_PRODUCTS:
            continue
        for operand in map(unmoved, node.all_input_nodes):
            key = str(operand.target) if operand.op == "get_attr" else ""
            parameter = own.get(key)
            if key in seen or parameter is None or parameter.squeeze().ndim < 2:
                continue
            name = function_name(node).strip("_")
            found.setdefault(key, (key, name, tuple(parameter.shape)))
    return list(found.values())


def _outside(name: str, submodule: str | None) -> bool:
    return submodule is not None and not f"{name}.".startswith(f"{submodule}.")


def _included(layers: list[Layer], include: Sequence[str], impossible: dict[str, str]) -> set[str]:
    """The names that patterns of `include` match; each has to match one that can be binarized."""
    included = set()
    names = list(dict.fromkeys([*(layer.name for layer in layers), *impossible]))
    for pattern in include:
        matched = [name for name in names if matches(name, pattern)]
        if not matched:
            raise PatternError(
                f'no layer matches include "{pattern}"', _known_names(layers, pattern)
            )
        if all(name in impossible for name in matched):
            others = f" and {len(matched) - 1} more" if len(matched) > 1 else ""
            raise PatternError(
                f'include "{pattern}" matches only what cannot be binarized: '
                f'"{matched[0]}"{others} ({impossible[matched[0]]})',
                "omit the pattern, or name a convolution or linear layer that is executed",
            )
        included.update(matched)
    return included


def _by_pattern(layers: list[Layer], keep: Sequence[str]) -> dict[str, str]:
    """A pattern matches a layer by the name of the layer or of any module around it."""
    reasons: dict[str, str] = {}
    for pattern in keep:
        matched = [layer for layer in layers if matches(layer.name, pattern)]
        if not matched:
            raise PatternError(f'no layer matches keep "{pattern}"', _known_names(layers, pattern))
        for layer in matched:
            reasons.setdefault(layer.name, f'keep "{pattern}"')
    return reasons


def check_choices(
    layers: list[Layer], chosen: Collection[str], choices: Iterable[LayerChoice]
) -> None:
    """Raises PatternError for an entry of `Options.layers` that matches no binary layer."""
    for pattern in (choice.match for choice in choices):
        matched = [layer.name for layer in layers if matches(layer.name, pattern)]
        if not matched:
            raise PatternError(
                f'no layer matches layers "{pattern}"', _known_names(layers, pattern)
            )
        if not any(name in chosen for name in matched):
            raise PatternError(
                f'layers "{pattern}" matches only layers that are kept: "{matched[0]}"',
                "omit the entry, or binarize them: --set 'binarize.include=[NAME]'",
            )


def _known_names(layers: list[Layer], pattern: str) -> str:
    tops = list(dict.fromkeys(layer.name.split(".")[0] for layer in layers))
    near = did_you_mean(pattern, [layer.name for layer in layers])
    shown = ", ".join(tops if len(tops) <= 12 else [*tops[:6], "…", *tops[-5:]])
    return f"{near + ' ' if near else ''}this model has {shown}"


def _first(graph: fx.Graph, layers: list[Layer]) -> set[str]:
    """Layers that see the image with no other layer between."""
    owner = {node: layer.name for layer in layers for node in layer.nodes}
    raw: set[fx.Node] = set()
    found = set()
    for node in graph.nodes:
        from_image = node.op == "placeholder" or any(n in raw for n in node.all_input_nodes)
        if node in owner:
            if from_image:
                found.add(owner[node])
        elif from_image:
            raw.add(node)
    return found


def classifier(model: nn.Module, trace: Trace) -> Layer | None:
    """The last layer that names the class; None where a model has none."""
    layers = inventory(trace)
    last = _classifier(model, trace.graph, layers, None)
    return next((layer for layer in reversed(layers) if layer.name in last), None)


def _classifier(
    model: nn.Module, graph: fx.Graph, layers: list[Layer], submodule: str | None
) -> set[str]:
    """The layers of `get_classifier()`; without it, the last executed one that nothing but moves,
    pooling and activations separates from the logits. A part of a model has none."""
    names = {id(module): name for name, module in model.named_modules()}
    get_classifier = getattr(model, "get_classifier", None)
    if callable(get_classifier):
        heads = get_classifier()
        heads = heads if isinstance(heads, (tuple, list)) else [heads]
        inside = {
            names[id(part)]
            for head in heads
            if isinstance(head, nn.Module)
            for part in head.modules()
            if id(part) in names
        }
        return {layer.name for layer in layers if layer.name in inside}
    if submodule is not None:
        return set()
    owner = {node: layer.name for layer in layers for node in layer.nodes}
    (output,) = graph.find_nodes(op="output")
    logits = output.all_input_nodes[0]
    open_nodes: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node is logits or any(user in open_nodes for user in node.users):
            if node in owner:
                return {owner[node]}
            open_nodes.add(node)
    return set()
