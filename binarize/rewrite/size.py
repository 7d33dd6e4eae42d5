"""The size of the packed ONNX file, predicted from the recording, before anything is exported.

bits        ceil(weights / 8) of each binarized layer
vectors     4 bytes x output channels x 2 (scale, and a bias that is always there)
constants   every other parameter and buffer that the graph reads, in its own type, but for the
            biases and batch norms that the packed node takes up
graph       NODE bytes for each operation that becomes a node, and FIXED for the functions
"""

from __future__ import annotations

from torch import Tensor, fx

from binarize.packing import packed_bytes
from binarize.rewrite.census import argument, census, function_name
from binarize.rewrite.convert import Conversion

FIXED = 6_000  # two function bodies, metadata
NODE = 150  # names, attributes and tensor headers of one node
VANISHING = {"dim", "size", "_assert", "dropout", "dropout2d", "contiguous", "detach", "to", ""}


def packed_size(conversion: Conversion) -> int:
    """Predicted bytes of the packed ONNX file of a conversion."""
    binarized = {row.name for row in conversion.rows if row.action == "binarized"}
    layers = [layer for layer in census(conversion.recording) if layer.name in binarized]
    absorbed = {layer.parameter for layer in layers}
    for layer in layers:
        for node in layer.nodes:
            absorbed |= _absorbed(node)
    packed = sum(packed_bytes(layer.params) + 8 * layer.shape[0] for layer in layers)
    state = _tensors(conversion)
    read = {node.target for node in conversion.recording.graph.nodes if node.op == "get_attr"}
    constants = sum(
        state[key].numel() * state[key].element_size() for key in read - absorbed if key in state
    )
    nodes = sum(_becomes_node(node) for node in conversion.recording.graph.nodes)
    return packed + constants + FIXED + NODE * nodes


def _absorbed(node: fx.Node) -> set[str]:
    """The bias of a binarized layer and the batch norm behind it: they end up in scale and bias."""
    bias = argument(node, 2, "bias")
    keys = {bias.target} if isinstance(bias, fx.Node) else set()
    users = list(node.users)
    if len(users) == 1 and function_name(users[0]) == "batch_norm":
        keys |= {n.target for n in users[0].all_input_nodes if n.op == "get_attr"}
    return keys


def _becomes_node(node: fx.Node) -> bool:
    return node.op == "call_function" and function_name(node) not in VANISHING


def _tensors(conversion: Conversion) -> dict[str, Tensor]:
    model = conversion.model
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
