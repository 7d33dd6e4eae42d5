"""What does it cost to create a session of an exported file, beside one of the float model?

    python benchmarks/session_creation.py [MODEL]...

For each model, with random weights: the float file and the binarized one in the forms that compute in floats.
A session is made by stock onnxruntime with one thread, in two settings: `fresh`, the first session of a new
process, which is what a program that loads a model pays; and `again`, in a process that has made such
sessions before, where memory and code are warm. The files take turns, `REPEATS` times; figures are medians of
CPU seconds. `general` is the packed file with the function body for weights that do not fill their last byte.
One JSON line per model is added to benchmarks/results/session_creation.jsonl. Exits with 1 where a fresh
session of the packed file costs more than `LIMIT` times that of the float one.
"""

from __future__ import annotations

import copy
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
import onnx_ir as ir
from result_lines import append

from binarize import layers
from binarize.exporting import forms
from binarize.exporting.exporting import describe
from binarize.exporting.functions import DOMAIN, OPS, function
from binarize.exporting.graph import to_graph
from binarize.exporting.subject import open_subject
from binarize.exporting.write import write
from binarize.rewrite import Options, SourceOptions, convert_float, open_float

LIMIT = 1.25
REPEATS = 9
OPSET = 20
MODELS = ("resnet18", "vit_base_patch16_224")
CHILD = """
import sys, time
import onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads, options.log_severity_level = 1, 3
for path in sys.argv[1:]:
    began = time.process_time()
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    print(time.process_time() - began)
    del session
"""


def files(name: str, folder: Path) -> dict[str, Path]:
    """The model's files by what they are."""
    float_model = open_float(name, SourceOptions(pretrained=False))
    paths = {"float": folder / "float.onnx"}
    subject = open_subject(float_model.model)
    plain = to_graph(copy.deepcopy(float_model.model).eval(), {}, subject.size, OPSET)
    write(plain, describe(subject, "float"), paths["float"])
    converted = open_subject(convert_float(float_model, Options()).conversion.model)
    for form in ("packed", "inline"):
        model = copy.deepcopy(converted.model).eval()
        graph = to_graph(model, layers.freeze(model), converted.size, OPSET)
        forms.FORMS[form].apply(graph, None)
        paths[form] = folder / f"{form}.onnx"
        write(graph, describe(converted, form), paths[form])
    paths["general"] = folder / "general.onnx"
    _generalise(paths["packed"], paths["general"])
    return paths


def _generalise(path: Path, target: Path) -> None:
    model = onnx.load(path)
    for body in model.functions:
        if body.domain == DOMAIN and body.name in OPS:
            body.ParseFromString(ir.to_proto(function(body.name, OPSET)).SerializeToString())
    onnx.save(model, target)


def seconds(paths: list[Path]) -> list[float]:
    """CPU seconds of a session of each, one after another in one process."""
    words = [sys.executable, "-c", CHILD, *map(str, paths)]
    output = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return [float(line) for line in output.split()]


def measure(name: str) -> dict[str, dict[str, float]]:
    """Setting -> file -> seconds."""
    with tempfile.TemporaryDirectory() as directory:
        paths = files(name, Path(directory))
        fresh: dict[str, list[float]] = {kind: [] for kind in paths}
        for _ in range(REPEATS):
            for kind, path in paths.items():
                fresh[kind] += seconds([path])
        turns = seconds(list(paths.values()) * (REPEATS + 1))[len(paths) :]
        again = {kind: turns[n :: len(paths)] for n, kind in enumerate(paths)}
    settings = {"fresh": fresh, "again": again}
    return {
        setting: {kind: round(statistics.median(taken), 4) for kind, taken in of.items()}
        for setting, of in settings.items()
    }


def main(names: list[str]) -> int:
    worst = 0.0
    for name in names:
        measured = measure(name)
        for setting, of in measured.items():
            for kind, taken in of.items():
                times = taken / of["float"]
                print(f"{name:24} {setting:6} {kind:8} {taken:.3f} s  {times:.2f} x", flush=True)
        worst = max(worst, measured["fresh"]["packed"] / measured["fresh"]["float"])
        line = {
            "question": "CPU seconds to create a session in stock onnxruntime, one thread, median",
            "model": name,
            "limit": LIMIT,
            "repeats": REPEATS,
            "seconds": measured,
        }
        append("session_creation", line)
    return int(worst > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:] or list(MODELS)))
