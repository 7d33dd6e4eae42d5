"""Files of one node of domain binarize and what they compute, in numpy, from docs/op-spec.md alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import torch
from onnx import FunctionProto, ModelProto, TensorProto, helper, numpy_helper

from binarize.exporting.functions import DOMAIN, FUNCTION_OPS, VERSION, Op, function, needed
from binarize.kernels import installed
from binarize.packing import pack_bits

TIERS = ("scalar", "avx2", "avx512", "amx", "neon")
# Another library than the installed one: one built with the sanitizers (see benchmarks/fuzz_kernels.py).
LIBRARY = os.environ.get("BINARIZE_TEST_LIBRARY") or installed()
ABSENT = "this installation has no kernels: no compiler was at hand when it was made"


@dataclass
class Node:
    """A node and its constants. For a convolution `shape` is [O, C/group, kernel], else [O, I]."""

    op: str
    shape: Sequence[int]
    strides: Sequence[int] = (1, 1)
    pads: Sequence[int] = (0, 0, 0, 0)
    dilations: Sequence[int] = (1, 1)
    group: int = 1
    seed: int = 0
    bases: int = 1
    signs: np.ndarray = field(init=False)
    constants: dict[str, np.ndarray] = field(init=False)
    attributes: dict[str, object] = field(init=False)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        outputs, channels = self.shape[0], self.shape[1] * self.group
        several = (self.bases,) if self.kind.several else ()
        self.signs = random.random((*several, *self.shape)) < 0.5
        self.constants = {
            "bits": pack_bits(self.signs),
            "scale": random.standard_normal((*several, outputs)).astype(np.float32),
            "bias": random.standard_normal(outputs).astype(np.float32),
        }
        if self.op.startswith("Sign"):
            self.constants["shift"] = 0.2 * random.standard_normal(channels).astype(np.float32)
        if self.op.startswith("Step"):
            self.constants["threshold"] = np.array([0.3], np.float32)
        self.attributes = {"shape": list(self.shape)}
        if self.convolves:
            self.attributes |= {
                "strides": list(self.strides),
                "pads": list(self.pads),
                "dilations": list(self.dilations),
                "group": self.group,
            }

    @property
    def kind(self) -> Op:
        return FUNCTION_OPS[self.op]

    @property
    def convolves(self) -> bool:
        return self.kind.product == "Conv"

    @property
    def epilogue(self) -> tuple[str, ...]:
        return self.kind.epilogue

    def file(self, with_function: bool = True, rank: int | None = None) -> bytes:
        """The model of this node alone: x, and a residual where it takes one, -> y; a linear layer's x has
        `rank` dimensions, 2 if not said."""
        free = [None] * (len(self.shape) if self.convolves else rank or 2)
        computed = ["residual"] if "Add" in self.epilogue else []
        inputs = ["x", *self.constants, *computed]
        node = helper.make_node(
            self.op, inputs, ["y"], name="node", domain=DOMAIN, **self.attributes
        )
        graph = helper.make_graph(
            [node],
            "one",
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, free) for n in ("x", *computed)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, free)],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        model: ModelProto = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, VERSION)],
            functions=functions_of(self.op) if with_function else [],
            ir_version=10,
        )
        return model.SerializeToString()

    def feed(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """What a session of the file takes: x, and a residual of y's shape, always the same."""
        if "Add" not in self.epilogue:
            return {"x": x}
        size = (*x.shape[:-1], self.shape[0])
        if self.convolves:
            size = (len(x), self.shape[0], *self._extents(x.shape[2:]))
        residual = np.random.default_rng(7).standard_normal(size).astype(np.float32)
        return {"x": x, "residual": residual}

    def expected(self, x: np.ndarray) -> np.ndarray:
        """y: sums in float64 (exact for binary inputs), then scale, bias and residual, each rounded to
        float32, then the activation."""
        y = self._product(x)
        for each in self.epilogue:
            y = y + self.feed(x)["residual"] if each == "Add" else activated(each, y)
        return y if self.kind.binary == "" else y.astype(np.float32)

    def _product(self, x: np.ndarray) -> np.ndarray:
        """Of several bases, what the first makes with the bias, and each of the others added in turn."""
        if not self.kind.several:
            return self._of_base(x, self.signs, self.constants["scale"], self.constants["bias"])
        bias, y = self.constants["bias"], None
        for signs, scale in zip(self.signs, self.constants["scale"], strict=True):
            base = self._of_base(x, signs, scale, bias if y is None else np.zeros_like(bias))
            y = base if y is None else y + base
        return y

    def _of_base(
        self, x: np.ndarray, positive: np.ndarray, scale: np.ndarray, bias: np.ndarray
    ) -> np.ndarray:
        signs = np.where(positive, 1.0, -1.0)
        b = x.astype(np.float64)
        if self.op.startswith("Sign"):
            along = (1, -1, *[1] * (x.ndim - 2)) if self.convolves else (-1,)
            b = np.where(x + self.constants["shift"].reshape(along) >= 0, 1.0, -1.0)
        if self.op.startswith("Step"):
            b = np.where(x >= self.constants["threshold"], 1.0, 0.0)
        sums = self._convolution(b, signs) if self.convolves else b @ signs.T
        last = (-1, *[1] * (sums.ndim - 2)) if self.convolves else (-1,)
        scale, bias = scale.reshape(last), bias.reshape(last)
        if not self.kind.binary:
            return sums * scale.astype(np.float64) + bias
        return sums.astype(np.float32) * scale + bias

    def _convolution(self, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        rank = x.ndim - 2
        before, after = self.pads[:rank], self.pads[rank : 2 * rank]
        extents = self._extents(x.shape[2:])
        x = np.pad(x, [(0, 0), (0, 0), *zip(before, after, strict=True)])
        shares = np.split(x, self.group, axis=1), np.split(weight, self.group, axis=0)
        parts = []
        for images, kernels in zip(*shares, strict=True):
            total = np.zeros((len(x), len(kernels), *extents))
            for tap in np.ndindex(*weight.shape[2:]):
                window = tuple(
                    slice(t * d, t * d + (n - 1) * s + 1, s)
                    for t, d, n, s in zip(tap, self.dilations, extents, self.strides, strict=False)
                )
                seen = images[(slice(None), slice(None), *window)]
                total += np.einsum(
                    "nc...,oc->no...", seen, kernels[(slice(None), slice(None), *tap)]
                )
            parts.append(total)
        return np.concatenate(parts, axis=1)

    def _extents(self, size: Sequence[int]) -> list[int]:
        """How many outputs along each axis for inputs of that size."""
        rank = len(size)
        wide = [n + self.pads[i] + self.pads[i + rank] for i, n in enumerate(size)]
        spans = [d * (k - 1) + 1 for d, k in zip(self.dilations, self.shape[2:], strict=False)]
        return [(n - s) // t + 1 for n, s, t in zip(wide, spans, self.strides, strict=False)]


def activated(name: str, y: np.ndarray) -> np.ndarray:
    """An activation of docs/op-spec.md; those with a rounding of their own in float64."""
    if name == "Relu":
        return np.where(y < 0, 0, y)
    if name.startswith("Hard"):
        gate = np.clip(y * y.dtype.type(np.float32(1 / 6)) + y.dtype.type(0.5), 0, 1)
        return gate if name == "HardSigmoid" else y * gate
    wide = torch.from_numpy(y.astype(np.float64))
    if name == "Silu":
        return torch.nn.functional.silu(wide).numpy()
    return (wide * torch.special.erfc(-wide / 2**0.5) / 2).numpy()


def functions_of(op: str) -> list[FunctionProto]:
    """What a file with that op has."""
    return [ir.to_proto(function(name, 20)) for name in needed([(op, [1])])]


@contextlib.contextmanager
def tier(name: str) -> Iterator[None]:
    """Sessions made in here use that tier."""
    before = os.environ.get("BINARIZE_TIER")
    os.environ["BINARIZE_TIER"] = name
    try:
        yield
    finally:
        del os.environ["BINARIZE_TIER"]
        if before is not None:
            os.environ["BINARIZE_TIER"] = before


def session(model: bytes, kernels: bool = True, threads: int = 1) -> ort.InferenceSession:
    """A session of a file in memory."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    if kernels:
        options.register_custom_ops_library(str(LIBRARY))
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(
    node: Node, x: np.ndarray, threads: int = 1, kernels: bool = True, with_function: bool = True
) -> np.ndarray:
    """y of a file of that node, computed by the kernels or by the functions in the file."""
    runner = session(node.file(with_function, x.ndim), kernels, threads)
    return runner.run(None, node.feed(x))[0]


def available() -> list[str]:
    """The tiers that this CPU can run; none where there is no library."""
    if LIBRARY is None:
        return []
    model = Node("BinaryLinear", (1, 1)).file()
    found = []
    for name in TIERS:
        with tier(name), contextlib.suppress(Exception):
            session(model)
            found.append(name)
    return found
