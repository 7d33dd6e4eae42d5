"""How large is a file whose classifier is stored with fewer bits, and what does that change?

    python benchmarks/classifiers.py [MODEL]...

For each model with random weights and each type: bytes of the packed file, its prediction, and how far its
logits and top-1 are from those of the model as it was. Random weights say how large a file is; what
rounding costs in accuracy, only a trained model can. One JSON line per model is added to
benchmarks/results/classifiers.jsonl.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch
from result_lines import append

import binarize
from binarize.exporting.classifier import CLASSIFIERS

MODELS = ("resnet18",)
KEYS = ("bytes", "bytes_predicted", "parity", "max_abs_logit", "classifier_diff")


def measure(name: str) -> dict[str, dict[str, object]]:
    """Type -> figures."""
    torch.manual_seed(0)
    model, found = binarize.convert(name, pretrained=False), {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in CLASSIFIERS:
            result = binarize.export(model, Path(folder) / "m.onnx", classifier=kind).as_json()
            found[kind] = {key: result[key] for key in KEYS}
    return found


def main(names: list[str]) -> None:
    for name in names:
        line = {
            "question": "bytes of a packed file by the type of its classifier",
            "model": name,
            "classifiers": measure(name),
        }
        print(json.dumps(line["classifiers"], indent=1))
        append("classifiers", line)


if __name__ == "__main__":
    main(sys.argv[1:] or list(MODELS))
