"""What does a kernel library from before weights of several bases make of a file that has them?

    python benchmarks/old_library.py [COMMIT]

Builds the library of COMMIT, by default the last one whose kernels know one base only, from this
repository's history, and runs `cifar_resnet20` of 1 to 4 bases in every mode and form in stock onnxruntime,
with that library and with the installed one. A library may leave a file to its functions or refuse it; it may
not compute it wrongly. Adds a JSON line to benchmarks/results/old_library.jsonl; exits with 1 where an answer
is another.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime as ort
from result_lines import append

import binarize
from binarize.errors import BinarizeError
from binarize.exporting.forms import FORMS
from binarize.kernels import ort_library

ROOT = Path(__file__).parents[1]
KERNELS = "binarize/kernels"
MODES = {
    "W1A32": {},
    "W1A1, step": {"activations": "step"},
    "W1A1, sign": {"activations": "sign", "structure": "bireal"},
}
CLOSE = 1e-4  # of the largest logit: sums in another order


def last_commit_of_one_base() -> str:
    """The parent of the commit whose kernels first know the word."""
    command = ["git", "log", "--reverse", "--format=%h", '-S"Bases"', "--", f"{KERNELS}/src/ops.cc"]
    first = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return f"{first.stdout.split()[0]}^"


def build(commit: str, folder: Path) -> Path:
    """The library of that commit."""
    archive = ["git", "archive", commit, KERNELS]
    files = subprocess.run(archive, cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=files, check=True)
    made = folder / "build"
    configure = ["cmake", "-S", folder / KERNELS, "-B", made, "-DCMAKE_BUILD_TYPE=Release"]
    for command in (configure, ["cmake", "--build", made]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return made / "libbinarize_ort.so"


def answer(file: Path, x: np.ndarray, library: Path | str | None) -> np.ndarray | str:
    """The logits, or why the file is refused."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if library:
        options.register_custom_ops_library(str(library))
    try:
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: x})[0]
    except Exception as error:  # onnxruntime's errors have no common base
        return str(error).splitlines()[0]


def verdict(found: np.ndarray | str, truth: np.ndarray | str) -> str:
    if isinstance(found, str):
        return "refused"
    if isinstance(truth, str):
        return "computed"  # the native form, which stock onnxruntime does not run
    off = float(np.abs(found - truth).max() / np.abs(truth).max())
    return "equal" if off == 0 else "close" if off < CLOSE else "WRONG"


def main(commit: str) -> int:
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 3, 32, 32)).astype(np.float32)
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        old = build(commit, Path(folder))
        file = Path(folder) / "model.onnx"
        for mode, how in MODES.items():
            for bases in (1, 2, 3, 4):
                model = binarize.convert(
                    "cifar_resnet20", bases=bases, pretrained=False, num_classes=10, seed=1, **how
                ).eval()
                for form in FORMS:
                    case = f"{mode}, {bases} bases, {form}"
                    try:
                        binarize.export(model, file, form=form)
                    except BinarizeError as error:
                        print(f"{case}: not exported: {error.message}", flush=True)
                        continue
                    now = answer(file, x, ort_library())
                    stock = answer(file, x, None)
                    truth = now if isinstance(stock, str) else stock
                    before = answer(file, x, old)
                    found[case] = {"old": verdict(before, truth), "installed": verdict(now, stock)}
                    print(f"{case}: {found[case]}", flush=True)
    append("old_library", {"commit": commit, "close": CLOSE, "cases": found})
    return int(any("WRONG" in each.values() for each in found.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if sys.argv[1:] else last_commit_of_one_base()))
