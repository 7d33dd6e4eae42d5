"""Which layers become binary, and why the others are kept float."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from torch import fx, nn

from binarize.errors import PatternError, did_you_mean
from binarize.layers import layer_name
from binarize.rewrite.census import Layer
from binarize.rewrite.gates import gate_layers
from binarize.rewrite.record import Recording

RECURRENT = (nn.LSTM, nn.GRU, nn.RNN)
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def kept_reasons(
    model: nn.Module, recording: Recording, layers: list[Layer], keep: Sequence[str]
) -> dict[str, str]:
    """Layer name -> why it stays float, for the layers that do.

    Raises PatternError for a pattern of `keep` that matches no layer.
    """
    reasons = _by_pattern(layers, keep)
    gates = gate_layers(recording.graph, layers)
    first = _first(recording.graph, layers)
    last = _classifier(model, recording.graph, layers)
    for layer in layers:
        reason = (
            (layer.name in first and "first layer")
            or (layer.name in last and "classifier")
            or (layer.source == "constant" and "fed by constants, not by the image")
            or (layer.depthwise and "depthwise")
            or (layer.name in gates and "squeeze-excite or gate")
            or (not layer.direct and "its module transforms the weight before use")
        )
        if reason:
            reasons.setdefault(layer.name, reason)
    return reasons


def unseen_layers(model: nn.Module, layers: list[Layer]) -> list[tuple[str, str, tuple, str]]:
    """(name, kind, weight shape, reason) of modules with weights that the recording cannot binarize."""
    seen = {layer.name for layer in layers}
    rows = []
    for name, module in model.named_modules():
        if isinstance(module, RECURRENT):
            rows.append((name, type(module).__name__.lower(), (), type(module).__name__))
        elif isinstance(module, TRANSPOSED):
            shape = tuple(module._parameters["weight"].shape)
            rows.append((name, "conv_transpose", shape, "transposed convolution"))
        elif isinstance(module, WEIGHTED) and layer_name(name, "weight") not in seen:
            latent = module._parameters.get("weight")
            if latent is not None:
                kind = "linear" if isinstance(module, nn.Linear) else f"conv{latent.ndim - 2}d"
                rows.append((name, kind, tuple(latent.shape), "not executed"))
    return rows


def _by_pattern(layers: list[Layer], keep: Sequence[str]) -> dict[str, str]:
    """A pattern matches a layer by the name of the layer or of any module around it."""
    reasons: dict[str, str] = {}
    for pattern in keep:
        matched = [layer for layer in layers if _matches(layer.name, pattern)]
        if not matched:
            raise PatternError(f'no layer matches keep "{pattern}"', _known_names(layers, pattern))
        for layer in matched:
            reasons.setdefault(layer.name, f'keep "{pattern}"')
    return reasons


def _matches(name: str, pattern: str) -> bool:
    parts = name.split(".")
    around = (".".join(parts[: n + 1]) for n in range(len(parts)))
    return any(fnmatch.fnmatchcase(candidate, pattern) for candidate in around)


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


def _classifier(model: nn.Module, graph: fx.Graph, layers: list[Layer]) -> set[str]:
    """The layers of `get_classifier()`; without it, the last executed one that nothing but moves,
    pooling and activations separates from the output."""
    names = {id(module): name for name, module in model.named_modules()}
    if callable(getattr(model, "get_classifier", None)):
        heads = model.get_classifier()
        heads = heads if isinstance(heads, (tuple, list)) else [heads]
        inside = {
            names[id(part)]
            for head in heads
            if isinstance(head, nn.Module)
            for part in head.modules()
            if id(part) in names
        }
        return {layer.name for layer in layers if layer.name in inside}
    owner = {node: layer.name for layer in layers for node in layer.nodes}
    open_nodes: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "output" or any(user in open_nodes for user in node.users):
            if node in owner:
                return {owner[node]}
            open_nodes.add(node)
    return set()
