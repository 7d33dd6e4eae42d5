"""How much faster than onnxruntime's float32 is a single binary layer with the binarize kernels?

    python benchmarks/kernel_layers.py [--threads N] [--rounds N] [--tier TIER] [--bases N] [LAYER ...]

Each layer is a file of one node, float NCHW (or rows) in and out, batch 1 unless its name says otherwise.
In every round each variant runs once, in turn: the float layer (the same file in stock onnxruntime, which
folds the bits into float weights and calls its own Conv or MatMul), and with kernels the layer with float
inputs and the one with binary inputs (`Step`); with `--bases` the same with so many bases, and how many times
one base they take; for linear layers also MatMulNBits of 8, 4 and 2 bits, as far as onnxruntime takes them.
Printed: medians in microseconds, and the ratio to float, the median of the ratios within a round. Numerics
are checked in the same run. Adds a JSON line to benchmarks/results/kernel_layers.jsonl, of several bases to
kernel_bases.jsonl.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from result_lines import append

from binarize import kernels
from binarize.exporting.functions import DOMAIN, VERSION, function
from binarize.packing import pack_bits

LAYERS = {
    # name: weight, input, stride, padding
    "3x3 64x56x56": ((64, 64, 3, 3), (1, 64, 56, 56), 1, 1),
    "3x3 128x28x28": ((128, 128, 3, 3), (1, 128, 28, 28), 1, 1),
    "3x3 256x14x14": ((256, 256, 3, 3), (1, 256, 14, 14), 1, 1),
    "3x3 512x7x7": ((512, 512, 3, 3), (1, 512, 7, 7), 1, 1),
    "3x3/2 64x56x56 to 128": ((128, 64, 3, 3), (1, 64, 56, 56), 2, 1),
    "1x1/2 64x56x56 to 128": ((128, 64, 1, 1), (1, 64, 56, 56), 2, 0),
    "1x1 256x56x56 to 64": ((64, 256, 1, 1), (1, 256, 56, 56), 1, 0),
    "1x1 1024x14x14 to 256": ((256, 1024, 1, 1), (1, 1024, 14, 14), 1, 0),
    "linear 768 to 3072": ((3072, 768), (1, 768), 1, 0),
    "linear 4096 to 4096": ((4096, 4096), (1, 4096), 1, 0),
    "linear 768 to 768, 197 rows": ((768, 768), (197, 768), 1, 0),
    "linear 768 to 3072, 197 rows": ((3072, 768), (197, 768), 1, 0),
    "linear 3072 to 768, 197 rows": ((768, 3072), (197, 3072), 1, 0),
}
WARM_UP = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("layers", nargs="*", default=list(LAYERS), metavar="LAYER")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument(
        "--tier", help="what BINARIZE_TIER is set to; default: the best of this CPU"
    )
    parser.add_argument("--bases", type=int, default=1, help="2 to 4: layers of so many as well")
    parser.add_argument("--dry", action="store_true", help="print only, write no line")
    given = parser.parse_args()
    if kernels.installed() is None:
        sys.exit("this installation has no kernels: install a C++17 compiler, then binarize again")
    if given.tier:
        os.environ["BINARIZE_TIER"] = given.tier
    found = {name: layer(name, given.threads, given.rounds, given.bases) for name in given.layers}
    if not given.dry:
        line = {
            "question": "microseconds of one layer, and its ratio to onnxruntime's float32",
            "tier": kernels.tier(),
            "threads": given.threads,
            "rounds": given.rounds,
            "layers": found,
        }
        append("kernel_layers" if given.bases == 1 else "kernel_bases", line)
    return 0


def layer(name: str, threads: int, rounds: int, bases: int) -> dict[str, dict[str, float]]:
    """Variant -> {"us", "ratio"} of a layer; the ratio is float over variant. Of several bases also
    "times_one_base"."""
    shape, size, stride, padding = LAYERS[name]
    random = np.random.default_rng(0)
    x = random.standard_normal(size).astype(np.float32)
    signs = random.random(shape) < 0.5
    product = "Conv" if len(shape) == 4 else "Linear"
    files = {
        "W1A32": node(f"Binary{product}", signs, stride, padding),
        "W1A1": node(f"StepBinary{product}", signs, stride, padding),
    }
    if bases > 1:
        more = random.random((bases, *shape)) < 0.5
        for mode, op in (("W1A32", "BinaryBases"), ("W1A1", "StepBinaryBases")):
            files[f"{mode}, {bases} bases"] = node(f"{op}{product}", more, stride, padding)
    variants = {"float": session(files["W1A32"], threads, native=False)}
    variants |= {variant: session(file, threads) for variant, file in files.items()}
    truth = {
        variant: session(file, threads, native=False).run(None, {"x": x})[0]
        for variant, file in files.items()
    }
    for bits in (8, 4, 2) if product == "Linear" else ():
        made = quantised(signs, bits, threads)
        if made is not None:
            variants[f"MatMulNBits {bits}"] = made
    seconds: dict[str, list[float]] = {variant: [] for variant in variants}
    for number in range(WARM_UP + rounds):
        for variant, runner in variants.items():
            began = time.perf_counter()
            y = runner.run(None, {"x": x})[0]
            if number >= WARM_UP:
                seconds[variant].append(time.perf_counter() - began)
            elif variant in truth:
                off = np.abs(y - truth[variant]).max() / np.abs(truth[variant]).max()
                assert off < 1e-5, (name, variant, off)
    result = {}
    for variant, times in seconds.items():
        ratio = statistics.median(f / t for f, t in zip(seconds["float"], times, strict=True))
        result[variant] = {"us": round(1e6 * statistics.median(times), 1), "ratio": round(ratio, 2)}
        one, of, _ = variant.partition(", ")
        if of:
            longer = statistics.median(t / f for f, t in zip(seconds[one], times, strict=True))
            result[variant]["times_one_base"] = round(longer, 2)
    words = ", ".join(
        f"{variant} {v['us']:.0f} us ({v['ratio']:.2f}x"
        + (f", {v['times_one_base']:.2f}x one base)" if "times_one_base" in v else ")")
        for variant, v in result.items()
    )
    print(f"{name}: {words}", flush=True)
    return result


def node(op: str, signs: np.ndarray, stride: int, padding: int) -> bytes:
    """A file of one node."""
    *bases, outputs = signs.shape[: 2 if "Bases" in op else 1]
    shape = signs.shape[len(bases) :]
    constants = {
        "bits": pack_bits(signs),
        "scale": np.full((*bases, outputs), 0.1, np.float32),
        "bias": np.zeros(outputs, np.float32),
    }
    if op.startswith("Step"):
        constants["threshold"] = np.array([0.3], np.float32)
    attributes: dict[str, object] = {"shape": list(shape)}
    if op.endswith("Conv"):
        attributes |= {
            "strides": [stride] * 2,
            "pads": [padding] * 4,
            "dilations": [1, 1],
            "group": 1,
        }
    made = helper.make_node(op, ["x", *constants], ["y"], domain=DOMAIN, **attributes)
    return file_of(made, constants, len(shape), [helper.make_opsetid(DOMAIN, VERSION)], op)


def quantised(signs: np.ndarray, bits: int, threads: int) -> ort.InferenceSession | None:
    """±1 as weights of MatMulNBits, its blocks of 32; None where onnxruntime refuses."""
    outputs, inputs = signs.shape
    zero = 1 << (bits - 1)
    values = np.where(signs, zero + 1, zero - 1).astype(np.uint8).reshape(outputs, -1, 32)
    each = 8 // bits
    packed = np.zeros((outputs, values.shape[1], 32 // each), np.uint8)
    for i in range(each):
        packed |= values[:, :, i::each] << (bits * i)
    constants = {"b": packed, "scales": np.full(outputs * values.shape[1], 0.1, np.float32)}
    made = helper.make_node(
        "MatMulNBits",
        ["x", *constants],
        ["y"],
        domain="com.microsoft",
        K=inputs,
        N=outputs,
        bits=bits,
        block_size=32,
        accuracy_level=4,
    )
    try:
        runner = session(
            file_of(made, constants, 2, [helper.make_opsetid("com.microsoft", 1)]),
            threads,
            native=False,
        )
        runner.run(None, {"x": np.zeros((1, inputs), np.float32)})
    except Exception as error:  # onnxruntime's errors have no common base
        print(f"MatMulNBits of {bits} bits: {str(error).splitlines()[0]}", file=sys.stderr)
        return None
    return runner


def file_of(made, constants, rank, imports, op=None) -> bytes:
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * rank) for n in "xy"]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return helper.make_model(
        helper.make_graph([made], "one", ends[:1], ends[1:], tensors),
        opset_imports=[helper.make_opsetid("", 20), *imports],
        functions=[ir.to_proto(function(op, 20))] if op else [],
        ir_version=10,
    ).SerializeToString()


def session(model: bytes, threads: int, native: bool = True) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if native:
        options.register_custom_ops_library(kernels.ort_library())
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    sys.exit(main())
