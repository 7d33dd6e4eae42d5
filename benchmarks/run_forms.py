"""Do exported files of every form run, and compute the same, in other runtimes?

    python benchmarks/run_forms.py write FOLDER                # needs binarize
    OTHER_PYTHON benchmarks/run_forms.py run FOLDER [RUNTIME]  # needs numpy and RUNTIME, and no more

RUNTIME is `onnxruntime` (default) or `openvino`, of whatever version OTHER_PYTHON has. `write` exports a
small network and ResNet-18 with random weights, W1A32 and W1A1, in each form, with images and torch's
logits beside them. `run` compares each file with torch and prints one JSON line, which is added to
benchmarks/results/run_forms.jsonl: the largest difference over the largest logit and the milliseconds of one
image, or in words why a file was refused. OpenVINO computes with its hint of float32: what
it takes by itself on some machines, bfloat16, flips signs.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results" / "run_forms.jsonl"
MODELS = ("cifar_resnet20", "resnet18")
ACTIVATIONS = {"W1A32": "float", "W1A1-step": "step", "W1A1-sign": "sign"}
REPEATS = 15
Model = Callable[[np.ndarray], np.ndarray]
IMAGE, LOGITS = "image.npy", "logits.npy"


def write(folder: Path) -> None:
    """FOLDER/MODEL/MODE/FORM.onnx with image.npy and logits.npy beside them."""
    import torch

    import binarize
    from binarize.exporting.forms import FORMS

    for name in MODELS:
        for mode, activations in ACTIVATIONS.items():
            place = folder / name / mode
            place.mkdir(parents=True, exist_ok=True)
            torch.manual_seed(0)
            model = binarize.convert(
                name,
                activations=activations,
                structure="bireal" if activations == "sign" else "keep",
                pretrained=False,
            )
            sides = model.binarize_info.preprocess.sides
            image = torch.randn(2, 3, *sides, generator=torch.Generator().manual_seed(1))
            with torch.no_grad():
                np.save(place / LOGITS, model.eval()(image).numpy())
            np.save(place / IMAGE, image.numpy())
            for form in (name for name, one in FORMS.items() if not one.kernels):
                binarize.export(model, place / f"{form}.onnx", form=form)


def in_onnxruntime(file: Path) -> Model:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image})[0]


def in_openvino(file: Path) -> Model:
    import openvino

    core = openvino.Core()
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(core.read_model(str(file)), "CPU", hints)
    return lambda image: compiled(image)[compiled.output(0)]


RUNTIMES = {"onnxruntime": in_onnxruntime, "openvino": in_openvino}


def milliseconds(model: Model, image: np.ndarray) -> float:
    """CPU time of one image, median."""
    taken = []
    for _ in range(REPEATS):
        began = time.process_time()
        model(image[:1])
        taken.append(time.process_time() - began)
    return round(1e3 * statistics.median(taken), 2)


def run(folder: Path, runtime: str) -> dict[str, object]:
    """One line of the results."""
    found: dict[str, object] = {}
    for file in sorted(folder.glob("*/*/*.onnx")):
        expected = np.load(file.parent / LOGITS)
        name = "/".join(file.with_suffix("").parts[-3:])
        image = np.load(file.parent / IMAGE)
        try:
            model = RUNTIMES[runtime](file)
            given = model(image)
        except Exception as error:  # each runtime has errors of its own
            found[name] = "refused: " + " ".join(str(error).split())[:160].replace(str(folder), "")
            continue
        difference = float(np.abs(given - expected).max() / np.abs(expected).max())
        found[name] = {
            "difference": float(f"{difference:.1e}"),
            "ms": milliseconds(model, image),
        }
    version = sys.modules[runtime].__version__
    return {
        "question": "largest difference from torch over the largest logit; CPU ms of one image, one thread",
        "runtime": runtime,
        "version": version.split("-")[0],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "date": date.today().isoformat(),
        "files": found,
    }


def main(words: list[str]) -> int:
    if len(words) >= 2 and words[0] == "write":
        write(Path(words[1]))
        return 0
    if len(words) < 2 or words[0] != "run":
        print(__doc__, file=sys.stderr)
        return 2
    line = run(Path(words[1]), words[2] if len(words) > 2 else "onnxruntime")
    print(json.dumps(line, indent=1))
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
