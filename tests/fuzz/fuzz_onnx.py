"""Exported ONNX files: what `binarize eval`, `bench` and the kernels make of damaged ones, in every form.

Each case spoils one good file by its structure (onnx_changes.py). A refusal is onnxruntime's or ours, with
the file's name; what ends the process without the kernels as well is onnxruntime's own fault: OTHERS_FAULT.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from forks import CRASH, FINE, HANG, REFUSED, UNEXPECTED, Outcome, in_fork
from fuzzers import Case
from image_kinds import picture
from judge import judge
from onnx_changes import mutant
from trained import warm

COUNT, SHORT = 1000, 12
CLASSES = "0123456789"
MADE = Path(__file__).parents[1] / "run" / "v0.1.0"
STORED = (MADE / "trained" / "model.onnx", MADE / "converted" / "model.onnx")
EXPORTED = (
    *(("packed", "float"), ("packed", "step"), ("packed", "sign"), ("inline", "float")),
    *(("native", "sign"), ("native", "stem"), ("int8", "float"), ("int8", "sign")),
)
"""(form, what inputs are; or the network with a float stem)"""
OTHERS_FAULT = "stock onnxruntime ends the process as well"


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    import binarize.benching  # noqa: F401  once, not in every fork

    files = list(STORED) if count <= SHORT else [*STORED, *exported(folder)]
    for name in CLASSES:
        (folder / "test" / name).mkdir(parents=True)
        picture(seed=int(name)).save(folder / "test" / name / "good.png")
    warm(["eval", str(STORED[0]), "--data-dir", str(folder), "-j", "0"])
    contents = [file.read_bytes() for file in files]
    for number in range(count):
        random = np.random.default_rng((seed, number))
        which = number % len(files)
        how, spoilt = mutant(contents[which], random)
        words = f"{files[which].parent.name}/{files[which].stem}: {how}"
        command = WAYS[number // len(files) % len(WAYS)]
        yield Case(words, functools.partial(check, folder, spoilt, command))


def exported(folder: Path) -> list[Path]:
    """A small network in every form."""
    files = [folder / f"{form}-{mode}.onnx" for form, mode in EXPORTED]
    for (form, mode), file in zip(EXPORTED, files, strict=True):
        done = in_fork(functools.partial(_export, form, mode, file), seconds=60)
        assert done.kind == FINE, done.words
    return files


def _export(form: str, mode: str, file: Path) -> Outcome:
    import torch
    from onnx_nets import Net, Stemmed

    import binarize

    torch.manual_seed(0)
    net, size = (Stemmed(), 32) if mode == "stem" else (Net(), 8)
    activations = "sign" if mode == "stem" else mode
    binarize.export(
        binarize.convert(net.eval(), img_size=size, activations=activations), file, form=form
    )
    return Outcome(FINE)


def check(folder: Path, spoilt: bytes, way: Callable[[Path, Path], Outcome], work: Path) -> Outcome:
    """The outcome with the kernels; where the process ends, whether it does so without them too."""
    file = work / "spoilt.onnx"
    file.write_bytes(spoilt)
    outcome = in_fork(functools.partial(way, file, folder))
    if outcome.kind in (CRASH, HANG):
        alone = in_fork(functools.partial(stock, file))
        if alone.kind == outcome.kind:
            return replace(outcome, words=f"{OTHERS_FAULT}\n{outcome.words}\n{alone.words}")
    return outcome


def opened(file: Path, folder: Path) -> Outcome:
    """A session with the kernels, and what it answers to noise of the size that the file asks for."""
    from binarize.errors import ExportError
    from binarize.runtime.memory import noise
    from binarize.runtime.session import load

    try:
        runner = load(file, threads=1, kernels=True)
        feed = noise(runner, 2)
        runner.run(None, feed)
    except ExportError as problem:
        named = str(file) in problem.message and problem.hint and "\n" not in problem.message
        return Outcome(REFUSED if named else UNEXPECTED, problem.message)
    except Exception as error:  # onnxruntime's own words are its own
        return Outcome(REFUSED, str(error))
    return Outcome(FINE)


def evaluated(file: Path, folder: Path) -> Outcome:
    argv = ["eval", str(file), "--data-dir", str(folder), "-j", "0"]
    return judge(argv, file, folder)


def benched(file: Path, folder: Path) -> Outcome:
    """Without the float model, which takes most of the time, and the process that measures memory."""
    from binarize.benching import lineup, measure
    from binarize.errors import ExportError

    def no_model(*_: object) -> None:
        raise ExportError("none here")

    lineup.float_entry, measure.peak_bytes = no_model, lambda *_: None
    return judge(["bench", str(file), "--rounds", "1"], file, folder)


WAYS = (opened, evaluated, opened, benched)


def stock(file: Path) -> Outcome:
    """onnxruntime alone, without this package."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        runner = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        feed = {
            one.name: np.zeros([n if isinstance(n, int) else 2 for n in one.shape], np.float32)
            for one in runner.get_inputs()
        }
        runner.run(None, feed)
    except Exception as error:  # its errors have no common base
        return Outcome(REFUSED, str(error))
    return Outcome(FINE)
