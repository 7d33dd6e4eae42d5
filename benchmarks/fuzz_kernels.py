"""Do malformed models and inputs ever get more than an error out of the kernels?

    python benchmarks/fuzz_kernels.py [--cases 10000] [--seed 0] [--library FILE]

Each case is a good node with up to two things wrong or odd in it, and an input that may be too: an attribute
that is negative, huge or of another length; constants that are too short, too long, empty, or of another
rank; an input or a residual of another rank or size, of size zero, with NaN, infinities and denormals. Every
case has to end in an onnxruntime error or in the result of stock onnxruntime; ops of the native form, which
that does not know, in any result. A crash stops the run, and so does a read out of bounds with a library
built with the sanitizers. CHUNK cases run in each process.

With the sanitizers:

    cmake -S binarize/kernels -B build/sanitized -DBINARIZE_SANITIZE=ON && cmake --build build/sanitized
    export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so)"
    ASAN_OPTIONS=detect_leaks=0 \\
      python benchmarks/fuzz_kernels.py --library build/sanitized/libbinarize_ort.so

Prints how many cases were errors and how many were results; adds a JSON line to
benchmarks/results/fuzz_kernels.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from onnx import helper, numpy_helper

from binarize import environment, kernels
from binarize.exporting.functions import (
    ALL_OPS,
    DOMAIN,
    FUNCTION_OPS,
    VERSION,
    function,
    needed,
)
from binarize.packing import WORD

CHUNK = 500
LARGE = [0, -1, 1, 2, 3, 7, 255, 2**31 - 1, 2**31, 2**32 + 1, 2**62, -(2**63)]
RESULTS = Path(__file__).parent / "results" / "fuzz_kernels.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--library", type=Path, default=kernels.installed())
    parser.add_argument("--chunk", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--dry", action="store_true", help="print only, write no line")
    given = parser.parse_args()
    if given.library is None:
        sys.exit("there is no kernel library: name one with --library")
    if given.chunk is not None:
        print(json.dumps(chunk(given.chunk, given.cases, given.library)))
        return 0
    return whole(given)


def whole(given: argparse.Namespace) -> int:
    """All cases, CHUNK of them in each process."""
    ends: Counter[str] = Counter()
    for first in range(0, given.cases, CHUNK):
        count = min(CHUNK, given.cases - first)
        command = [sys.executable, __file__, "--library", str(given.library), "--cases", str(count)]
        done = subprocess.run(
            [*command, "--chunk", str(given.seed * 1_000_000 + first)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            print(done.stderr[-4000:], file=sys.stderr)
            print(f"cases from {first} on ended the process with {done.returncode}")
            return 1
        ends += Counter(json.loads(done.stdout.splitlines()[-1]))
        print(f"\r{first + count} of {given.cases}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(", ".join(f"{name}: {count}" for name, count in sorted(ends.items())))
    if not given.dry:
        line = {
            "question": "malformed models and inputs: errors, results, anything worse",
            "date": datetime.now(timezone.utc).date().isoformat(),
            "cases": given.cases,
            "seed": given.seed,
            "ends": ends,
            "sanitized": "asan" in os.environ.get("LD_PRELOAD", ""),
            "tier": kernels.tier(),
            "cpu": environment.machine()["cpu"],
            "versions": environment.versions(),
        }
        with RESULTS.open("a") as file:
            file.write(json.dumps(line) + "\n")
    return 1 if ends["wrong"] else 0


def chunk(seed: int, cases: int, library: Path) -> dict[str, int]:
    """How the cases seed, seed + 1, … end."""
    return Counter(case(number, library) for number in range(seed, seed + cases))


def case(number: int, library: Path) -> str:
    """ "error", "result", or "wrong": a result that is not the reference's."""
    random = np.random.default_rng(number)
    node = good(random)
    x = input_of(node, random)
    residual = residual_of(node, x, random)
    for _ in range(random.integers(0, 3)):
        spoil(node, random)
    x = spoiled(x, random)
    feed = {"x": x}
    if residual is not None:
        feed["residual"] = spoiled(residual, random)
    try:
        model = file_of(node, feed)
    except (ValueError, TypeError, OverflowError):  # what onnx itself cannot write down
        return "error"
    given = answer(model, feed, library)
    if given is None:
        return "error"
    stock = answer(model, feed, None)
    # more than stock onnxruntime computes (an empty batch), or a scale that the op does not have
    if stock is None or not np.all(np.abs(node["constants"]["scale"]) < 1e30):
        return "result"
    same = given.shape == stock.shape
    if same and node["op"].endswith(("Gelu", "Silu")):  # of minus infinity: 0 here, NaN there
        stock = np.where((given == 0) & np.isnan(stock), 0, stock)
    same = same and np.allclose(given, stock, 1e-4, 1e-4, equal_nan=True)
    if not same:
        print(number, node["op"], node["attributes"], x.shape, file=sys.stderr)
    return "result" if same else "wrong"


def good(random: np.random.Generator) -> dict[str, Any]:
    """A node that is right in every respect."""
    op = str(random.choice(list(ALL_OPS)))
    group = int(random.choice([1, 1, 2]))
    outputs, channels = int(random.integers(1, 70)) * group, int(random.integers(1, 70))
    node: dict[str, Any] = {"op": op, "channels": channels * group}
    node["alone"] = ALL_OPS[op].packs and bool(random.integers(2))
    if ALL_OPS[op].product == "Conv":
        kernel = random.integers(1, 4, 2).tolist()
        node["attributes"] = {
            "shape": [outputs, channels, *kernel],
            "strides": random.integers(1, 4, 2).tolist(),
            "pads": random.integers(0, 3, 4).tolist(),
            "dilations": random.integers(1, 3, 2).tolist(),
            "group": group,
        }
    else:
        node["channels"] = channels
        node["attributes"] = {"shape": [outputs, channels]}
    bases = int(random.integers(2, 5)) if ALL_OPS[op].several else 1
    signs = bases * int(np.prod(node["attributes"]["shape"]))
    filters = (bases, outputs) if ALL_OPS[op].several else (outputs,)
    node["constants"] = {
        "bits": random.integers(0, 256, -(-signs // 8)).astype(np.uint8),
        "scale": random.standard_normal(filters).astype(np.float32),
        "bias": random.standard_normal(outputs).astype(np.float32),
    }
    sizes = {"shift": node["channels"], "threshold": 1, "next": int(random.choice([1, outputs]))}
    for part in ALL_OPS[op].inputs:
        if part in sizes:
            node["constants"][part] = random.standard_normal(sizes[part]).astype(np.float32)
    return node


def input_of(node: dict[str, Any], random: np.random.Generator) -> np.ndarray:
    packed, channels = ALL_OPS[node["op"]].packed, node["channels"]
    channels = -(-channels // WORD) if packed else channels
    if ALL_OPS[node["op"]].product == "Conv":
        size = (random.integers(1, 3), channels, *random.integers(5, 20, 2))
    else:
        size = (*random.integers(1, 9, random.integers(1, 3)), channels)
    if packed:
        return random.integers(0, 1 << WORD, size, np.uint32)
    return random.standard_normal(size).astype(np.float32)


def residual_of(
    node: dict[str, Any], x: np.ndarray, random: np.random.Generator
) -> np.ndarray | None:
    """Of y's shape, where the op takes one."""
    if "Add" not in ALL_OPS[node["op"]].epilogue:
        return None
    about = node["attributes"]
    size = (*x.shape[:-1], about["shape"][0])
    if ALL_OPS[node["op"]].product == "Conv":
        extents = []
        for i, n in enumerate(x.shape[2:]):
            span = about["dilations"][i] * (about["shape"][2 + i] - 1) + 1
            room = n + about["pads"][i] + about["pads"][2 + i] - span
            extents.append(max(0, room // about["strides"][i] + 1))
        size = (len(x), about["shape"][0], *extents)
    return random.standard_normal(size).astype(np.float32)


def spoil(node: dict[str, Any], random: np.random.Generator) -> None:
    """Something about the node that is wrong, or at least odd."""
    attributes, constants = node["attributes"], node["constants"]
    if random.random() < 0.6:
        name = random.choice(list(attributes))
        value = attributes[name]
        odd = int(random.choice(LARGE))
        if not isinstance(value, list):
            attributes[name] = odd
        elif random.random() < 0.2:
            attributes[name] = value[: random.integers(0, len(value) + 1)] + [odd] * int(
                random.integers(0, 3)
            )
        elif value:
            value[random.integers(len(value))] = odd
    else:
        name = random.choice(list(constants))
        value = constants[name]
        kind = random.integers(5)
        if kind == 0:
            constants[name] = value[: random.integers(0, len(value) + 1)]
        elif kind == 1:
            constants[name] = np.concatenate([value, value[:1]])
        elif kind == 2:
            constants[name] = value.reshape(1, -1) if value.ndim == 1 else value.reshape(-1)
        elif kind == 3:
            constants[name] = value[:0]
        elif value.dtype == np.float32 and len(value):
            value.flat[random.integers(value.size)] = random.choice(
                [np.nan, np.inf, 3e38, 0, 1e-45]
            )


def spoiled(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    kind = random.integers(8)
    if kind == 0:
        x = x.reshape(-1, *x.shape[2:])
    elif kind == 1:
        x = x[..., : random.integers(0, x.shape[-1] + 1)]
    elif kind == 2:
        x = x[:0]
    elif kind == 3:
        if x.size and x.dtype == np.float32:
            odd = [np.nan, np.inf, -np.inf, 3e38, 1e-45]
            x.reshape(-1)[random.integers(x.size)] = random.choice(odd)
    elif kind == 4:
        x = np.concatenate([x, x[:, :1]], axis=1)
    return np.ascontiguousarray(x)


def file_of(node: dict[str, Any], feed: dict[str, np.ndarray]) -> bytes:
    op = ALL_OPS[node["op"]]
    outputs = {"words": np.uint32, "y": np.float32} if op.packs else {"y": np.float32}
    if node.get("alone"):
        outputs.pop("y")
    made = helper.make_node(op.name, op.inputs, [*outputs], domain=DOMAIN, **node["attributes"])
    ends = {**{name: value.dtype for name, value in feed.items()}, **outputs}
    infos = [
        helper.make_tensor_value_info(
            name,
            helper.np_dtype_to_tensor_dtype(np.dtype(dtype)),
            [None] * feed.get(name, feed["x"]).ndim,
        )
        for name, dtype in ends.items()
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in node["constants"].items()]
    bodies = needed([(op.name, [1])]) if op.name in FUNCTION_OPS else []
    return helper.make_model(
        helper.make_graph([made], "one", infos[: len(feed)], infos[len(feed) :], tensors),
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, VERSION)],
        functions=[ir.to_proto(function(name, 20)) for name in bodies],
        ir_version=10,
    ).SerializeToString()


def answer(model: bytes, feed: dict[str, np.ndarray], library: Path | None) -> np.ndarray | None:
    """y; None where onnxruntime refuses."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if library is not None:
        options.register_custom_ops_library(str(library))
    try:
        runner = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return runner.run(None, feed)[0]
    except Exception:  # onnxruntime's errors have no common base
        return None


if __name__ == "__main__":
    sys.exit(main())
