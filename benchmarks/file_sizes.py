"""How much of an exported file is not payload, and what is it?

    python benchmarks/file_sizes.py [MODEL]...

The payload of a model is a bit for each binary weight and four bytes for each other parameter. For each
model: random weights, `convert`, and the packed file as `export` writes it, taken apart: binary weights,
floats, integers, small constants, nodes, names, functions, metadata. One JSON line per model is appended to
benchmarks/results/file_sizes.jsonl, which is not measured again with the same versions; `parity` of such
files is the question of export_models.py and coverage.py. Ends with a table, the worst files first, and
with 1 where a file is more than 5 % and 200 kB over its payload or not predicted to 2 % or 64 kB.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import torch
from result_lines import RESULTS, append

from binarize import environment, layers
from binarize.exporting.exporting import describe
from binarize.exporting.forms import DEFAULT_FORM
from binarize.exporting.graph import to_graph
from binarize.exporting.lower import lower
from binarize.exporting.size import is_close, packed_size
from binarize.exporting.subject import open_subject
from binarize.exporting.write import write
from binarize.layers import binary_weights
from binarize.packing import packed_bytes
from binarize.progress import Progress
from binarize.rewrite import Options, SourceOptions, convert_float, open_float

LINES = RESULTS / "file_sizes.jsonl"
SHARE, BYTES = 0.05, 200_000
OPSET = 20
SMALL = 64
"""Elements of a constant that is a shape, an axis or a number."""
MODELS = (
    "swin_tiny_patch4_window7_224",
    "densenet169",
    "gcvit_xxtiny",
    "levit_128s",
    "swinv2_tiny_window8_256",
    "test_vit_relpos",
    "swinv2_cr_tiny_224",
    "efficientformerv2_s0",
    "tiny_vit_5m_224",
    "beit_base_patch16_224",
    "coat_tiny",
    "mobilevit_xxs",
    "resnetv2_18",
    "test_maxvit",
    "hrnet_w18_small",
    "volo_d1_224",
    "eva02_tiny_patch14_224",
    "mixer_s32_224",
    "regnetx_002",
    "mobilenetv3_small_050",
    "efficientnet_b0",
    "convnext_atto",
    "vit_tiny_patch16_224",
    "dla46x_c",
    "res2net50_26w_4s",
    "xcit_nano_12_p8_224",
    "efficientvit_m0",
    "ghostnet_050",
    "inception_v3",
    "nest_tiny",
    "crossvit_tiny_240",
    "cait_xxs24_224",
    "focalnet_tiny_srf",
    "halonet26t",
    "torchvision/swin_v2_t",
    "torchvision/maxvit_t",
    "swin_s3_tiny_224",
    "swinv2_tiny_window16_256",
    "pnasnet5large",
    "nasnetalarge",
)
"""Of each family a small one; those with tables and masks first."""


def measure(name: str) -> dict[str, Any]:
    """One line of the results."""
    torch.manual_seed(0)
    began = time.process_time()
    float_model = open_float(name, SourceOptions(pretrained=False))
    conversion = convert_float(float_model, Options()).conversion
    subject = open_subject(conversion.model.eval())
    info = describe(subject, DEFAULT_FORM)
    binary = sum(m._parameters[key].numel() for _, m, key, _ in binary_weights(subject.model))
    floats = sum(one.numel() for one in subject.model.parameters()) - binary
    predicted = packed_size(subject.model, conversion.trace, info)
    graph = to_graph(subject.model, layers.freeze(subject.model), subject.size, OPSET)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "model.onnx"
        write(lower(graph, DEFAULT_FORM, subject, Progress()).graph, info, file)
        size, kinds = file.stat().st_size, apart(onnx.load(file))
    return {
        "model": name,
        "bytes_payload": packed_bytes(binary) + 4 * floats,
        "bytes": size,
        "bytes_predicted": predicted,
        "kinds": kinds,
        "seconds": round(time.process_time() - began, 1),
    }


def apart(model: onnx.ModelProto) -> Counter[str]:
    """Kind -> bytes of a file, all but some that hold these together."""
    found: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        size = len(tensor.raw_data)
        found[_kind(tensor)] += size
        found["heads of tensors"] += tensor.ByteSize() - size
    for node in model.graph.node:
        names = sum(map(len, (node.name, *node.input, *node.output)))
        found["names in nodes"] += names
        found["nodes"] += node.ByteSize() - names
    found["functions"] = sum(one.ByteSize() for one in model.functions)
    found["metadata"] = sum(one.ByteSize() for one in model.metadata_props)
    return found


def _kind(tensor: onnx.TensorProto) -> str:
    if tensor.name.endswith(".bits"):
        return "binary weights"
    if math.prod(tensor.dims) < SMALL:
        return "small constants"
    return "floats" if tensor.data_type == onnx.TensorProto.FLOAT else "integers and masks"


def over(line: dict[str, Any]) -> int:
    """Bytes that are not payload."""
    return line["bytes"] - line["bytes_payload"]


def is_good(line: dict[str, Any]) -> bool:
    within = over(line) <= SHARE * line["bytes_payload"] + BYTES
    return within and is_close(line["bytes_predicted"], line["bytes"])


def row(line: dict[str, Any]) -> str:
    """A line of the Markdown table."""
    off = 100 * (line["bytes_predicted"] / line["bytes"] - 1)
    return (
        f"| {line['model']} | {line['bytes_payload']:,} | {line['bytes']:,} | {over(line):,} | "
        f"{100 * over(line) / line['bytes_payload']:.1f} % | {off:+.2f} % |"
    )


def done() -> dict[str, dict[str, Any]]:
    """Model -> its line, for the versions that are installed."""
    lines = LINES.read_text(encoding="utf-8").splitlines() if LINES.is_file() else []
    found = (json.loads(line) for line in lines)
    return {line["model"]: line for line in found if line["versions"] == environment.versions()}


def main(names: list[str]) -> int:
    torch.set_num_threads(1)
    for name in names:
        if name not in done():
            append("file_sizes", measure(name))
            print(row(done()[name]), file=sys.stderr, flush=True)
    lines = [done()[name] for name in names]
    print("| model | payload | file | over | of payload | predicted |")
    print("|---|---|---|---|---|---|")
    for line in sorted(lines, key=lambda line: -over(line) / line["bytes_payload"]):
        print(row(line))
    return int(not all(map(is_good, lines)))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:] or list(MODELS)))
