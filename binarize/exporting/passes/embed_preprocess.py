"""Normalisation and softmax become part of the graph: pixels go in, probabilities come out."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from binarize.exporting.passes.graph import add_constant
from binarize.run import Preprocess

INPUT, OUTPUT = "pixels", "probabilities"
OWN = "preprocess."
"""What the names of the constants begin with."""
WHITE = 255
CHANNELS_FIRST = [0, 3, 1, 2]


class EmbedPreprocess(ir.passes.InPlacePass):
    """image -> logits becomes pixels uint8[N, H, W, 3] -> probabilities.

    1. image = (Cast(Transpose(pixels)) / 255 - mean) / std, in the order of torchvision's ToTensor and
       Normalize: the network sees the same bits as behind those.
    2. probabilities = Softmax(logits) over the last axis; a network that ends with a Softmax has its own.
    3. Further outputs stay.

    It comes last: what other passes fuse is inside.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.preprocess = preprocess

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        self._normalise(model.graph)
        _softmax(model.graph)
        return ir.passes.PassResult(model, True)

    def _normalise(self, graph: ir.Graph) -> None:
        image = graph.inputs[0]
        assert image.shape is not None  # of images, see `to_onnx`
        channels_last = ir.Shape([image.shape[axis] for axis in (0, 2, 3, 1)])
        pixels = ir.val(INPUT, ir.DataType.UINT8, channels_last)
        mean, std = (
            add_constant(graph, f"{OWN}{name}", np.array(values, np.float32).reshape(1, -1, 1, 1))
            for name, values in (("mean", self.preprocess.mean), ("std", self.preprocess.std))
        )
        white = add_constant(graph, f"{OWN}white", np.array(WHITE, np.float32))
        turned = ir.node("Transpose", [pixels], {"perm": CHANNELS_FIRST})
        cast = ir.node("Cast", turned.outputs, {"to": ir.DataType.FLOAT})
        share = ir.node("Div", [*cast.outputs, white])
        moved = ir.node("Sub", [*share.outputs, mean])
        scaled = ir.node("Div", [*moved.outputs, std])
        image.replace_all_uses_with(scaled.outputs[0])
        first = graph[0]
        graph.insert_before(first, [turned, cast, share, moved, scaled])
        graph.inputs[0] = pixels
        scaled.outputs[0].name = image.name


def _softmax(graph: ir.Graph) -> None:
    logits = graph.outputs[0]
    last = logits.producer()
    if last is not None and last.op_type == "Softmax":
        logits.name = OUTPUT
        return
    node = ir.node("Softmax", [logits], {"axis": -1})
    probabilities = node.outputs[0]
    probabilities.name, probabilities.type = OUTPUT, logits.type
    probabilities.shape = logits.shape
    graph.append(node)
    graph.outputs[0] = probabilities
