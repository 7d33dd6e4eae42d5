"""Does every listed model convert, export and run in stock onnxruntime as it does in torch?

    python benchmarks/export_models.py [MODEL]...

For each model: random weights (seeded), `convert`, `export` (which compares batches of 1 and 3 images
of seeded noise with torch), the size of the file against its prediction. One JSON line per model is
appended to benchmarks/results/export_models.jsonl; a model that stands there with the installed versions is
not run again. Ends with the table that docs/results.md shows.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from result_lines import RESULTS, append

from binarize import environment
from binarize.exporting import export
from binarize.rewrite import Options, SourceOptions, convert_float, open_float

LINES = RESULTS / "export_models.jsonl"
MODELS = (
    "resnet18",
    "resnet50",
    "mobilenetv3_small_100",
    "efficientnet_b0",
    "tf_efficientnet_b0",
    "convnext_tiny",
    "vit_base_patch16_224",
    "swin_tiny_patch4_window7_224",
    "densenet121",
    "regnety_004",
    "torchvision/resnet18",
    "torchvision/vgg11",
    "torchvision/mobilenet_v3_small",
    "cifar_resnet20",
)


def measure(name: str) -> dict[str, Any]:
    """One line of the results."""
    torch.manual_seed(0)
    began = time.monotonic()
    float_model = open_float(name, SourceOptions(pretrained=False))
    bytes_float = 4 * sum(parameter.numel() for parameter in float_model.model.parameters())
    converted = convert_float(float_model, Options())
    convert_seconds = time.monotonic() - began
    actions = [row.action for row in converted.conversion.rows]
    with tempfile.TemporaryDirectory() as directory:
        result = export(converted.conversion.model, Path(directory) / "model.onnx")
    return {
        "model": name,
        "binarized": actions.count("binarized"),
        "kept": actions.count("kept"),
        "bytes_float": bytes_float,
        **{key: value for key, value in result.as_json().items() if key != "onnx"},
        "convert_seconds": round(convert_seconds, 1),
        "seconds": round(time.monotonic() - began, 1),
    }


def done() -> dict[str, dict[str, Any]]:
    """Model -> its line, for the versions that are installed."""
    lines = LINES.read_text(encoding="utf-8").splitlines() if LINES.is_file() else []
    found = (json.loads(line) for line in lines)
    return {line["model"]: line for line in found if line["versions"] == environment.versions()}


def row(line: dict[str, Any]) -> str:
    """A line of the Markdown table."""
    off = 100 * (line["bytes_predicted"] / line["bytes"] - 1)
    return (
        f"| {line['model']} | {line['binarized']} / {line['kept']} | {line['bytes_float']:,} | "
        f"{line['bytes']:,} | {line['bytes_float'] / line['bytes']:.1f} | {off:+.2f} % | "
        f"{line['max_abs_diff'] / line['max_abs_logit']:.1e} |"
    )


def main(names: list[str]) -> None:
    for name in names:
        if name not in done():
            line = measure(name)
            append("export_models", line)
            print(row(line), file=sys.stderr, flush=True)
    print(
        "| model | binarized / kept | float bytes | file bytes | smaller | predicted | max diff / max logit |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in names:
        print(row(done()[name]))


if __name__ == "__main__":
    main(sys.argv[1:] or list(MODELS))
