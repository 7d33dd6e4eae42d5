"""The bias of a layer goes through the normalisation behind it, as the layer's sum does."""

from __future__ import annotations

import numpy as np
import pytest
from test_passes import IMAGE, ROWS, frozen, model, ops, pack, run

from binarize.exporting.passes import FoldNorm

CHANNELS = 6
BIAS = np.array([3.0, -2.0, 0.5, 0.0, 40.0, -0.125], np.float32)
NORM = {
    "g": np.array([1.5, -0.75, 2.0, 1.0, 0.1, -3.0], np.float32),
    "s": np.array([-1.0, 0.25, 0.0, 5.0, 2.0, -0.5], np.float32),
    "m": np.array([0.5, -4.0, 1.0, 2.0, -8.0, 0.75], np.float32),
    "v": np.array([0.25, 4.0, 1.0, 0.5, 9.0, 0.04], np.float32),
}
EPSILON = 0.01
BODIES = {
    "convolution": (
        "g (float[n,4,7,6] x) => (float[n,6,h,k] y) { c = Conv (x, w, b) %s }",
        frozen(CHANNELS, 4, 3, 3),
        IMAGE,
    ),
    "linear": (
        "g (float[n,4] x) => (float[n,6] y) <float[n,6] c> { c = Gemm <transB = 1> (x, w, b) %s }",
        frozen(CHANNELS, 4),
        ROWS,
    ),
}
AFTER = f"y = BatchNormalization <epsilon = {EPSILON}> (c, g, s, m, v)"


@pytest.mark.parametrize("layer", BODIES)
def test_a_bias_is_normalised_as_the_sum_is(layer: str) -> None:
    text, weight, x = BODIES[layer]
    graph = model(text % AFTER, w=weight.value.numpy(), b=BIAS, **NORM)
    expected = run(graph, x)
    pack(graph, {"w": weight})
    (node,) = [node for node in graph.graph if node.op_type.startswith("Binary")]
    scale = node.inputs[2].const_value.numpy().astype(np.float64)

    assert FoldNorm()(graph).modified
    assert "BatchNormalization" not in ops(graph)
    ratio = NORM["g"] / np.sqrt(NORM["v"].astype(np.float64) + EPSILON)
    found_scale, found_bias = (node.inputs[index].const_value.numpy() for index in (2, 3))
    np.testing.assert_allclose(found_scale, scale * ratio, rtol=1e-6)
    np.testing.assert_allclose(found_bias, (BIAS - NORM["m"]) * ratio + NORM["s"], rtol=1e-6)
    np.testing.assert_allclose(run(graph, x), expected, rtol=1e-5, atol=1e-4)
