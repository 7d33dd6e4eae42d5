"""What the inputs of layers range over, on images: where the int8 form puts its 256 values."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir
import torch
from onnx import TensorProto, helper

from binarize.exporting.functions import DOMAIN, append_functions
from binarize.exporting.passes.graph import input_of, name_of
from binarize.runtime import quiet_session

Ranges = dict[str, tuple[float, float]]
"""Node name -> (smallest, largest) of what the node is given."""


def clone(model: ir.Model) -> ir.Model:
    """A copy that can be rewritten."""
    return ir.from_proto(ir.to_proto(model))


def ranges(model: ir.Model, batches: Iterable[torch.Tensor]) -> Ranges:
    """The ranges of the inputs of every binarize op in a graph without functions, in stock onnxruntime."""
    nodes = {
        node.name or "": name_of(input_of(node, 0)) for node in model.graph if node.domain == DOMAIN
    }
    copy = clone(model)
    append_functions(copy)
    proto = ir.to_proto(copy)
    image, known = proto.graph.input[0].name, {one.name for one in proto.graph.output}
    probes = sorted(set(nodes.values()) - {image})
    proto.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in probes
        if name not in known
    )
    runner = quiet_session(proto.SerializeToString())
    found = dict.fromkeys({*probes, image}, (np.inf, -np.inf))
    for batch in batches:
        feed = {image: batch.numpy()}
        seen = {**feed, **dict(zip(probes, runner.run(probes, feed), strict=True))}
        for name, values in seen.items():
            low, high = found[name]
            found[name] = (min(low, float(values.min())), max(high, float(values.max())))
    return {node: found[name] for node, name in nodes.items()}
