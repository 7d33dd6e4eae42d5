"""What stands in the rounds: every file with the binarize kernels and without, and the float model beside
it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from binarize import models
from binarize.errors import ExportError, ModelError
from binarize.run import is_run, layout, newest_run
from binarize.run.model import CUSTOM
from binarize.runtime import NATIVE, FileInfo, metadata, needs_kernels, uses_kernels


@dataclass(frozen=True)
class File:
    """An exported file: what it was called, where it lies, what it says about itself."""

    name: str
    path: Path
    info: FileInfo

    @property
    def architecture(self) -> str:
        """Equal for files whose float models are built alike."""
        info = self.info
        spec = info.model.replace(library_version="").to_json()
        conversion = info.conversion and info.conversion.undone()
        stem = conversion.to_json()["replaced_stem"] if conversion else None
        size = info.preprocess.img_size
        return json.dumps([spec, stem, size, info.with_preprocess], sort_keys=True)


@dataclass(frozen=True)
class Entry:
    """A file in one way of running it: a line of the table.

    Attributes:
        file: what it is called.
        path: where it lies.
        form: "packed", "float", …; "float-int8" for the quantised float model.
        kernels: whether the binarize kernels compute its binary layers.
        architecture: entries of one architecture are compared.
        baseline: whether the others of its architecture are divided by it.
        given: whether it was asked for; else it was built to be compared with.
    """

    file: str
    path: Path
    form: str
    kernels: bool
    architecture: str
    baseline: bool = False
    given: bool = True


def find(names: Sequence[str | Path]) -> list[File]:
    """The files of those names, each once; of a run its model.onnx. None: the newest run's.

    Raises ExportError for a file that is missing, corrupt or not written by binarize, and for a run without
    one.
    """
    files: dict[Path, File] = {}
    for name in names or [newest_run().path]:
        path = Path(name)
        if path.is_dir():
            path = _of_run(path)
        files.setdefault(path.resolve(), File(str(path), path, _described(path)))
    return list(files.values())


def _described(path: Path) -> FileInfo:
    """What the file says about itself. Raises ExportError where its float model has arguments that a file
    must not give."""
    info = metadata(path)
    if info.model.library == CUSTOM or not models.is_known(info.model.title):
        return info  # there is no float model of it here, which is said where one is looked for
    try:
        models.check_spec(info.model)
    except ModelError as problem:
        raise ExportError(f'"{path}": {problem.message}', problem.hint) from problem
    return info


def _of_run(path: Path) -> Path:
    file = path / layout.ONNX
    if file.is_file():
        return file
    if is_run(path):
        raise ExportError(
            f'run "{path}" holds no ONNX file', f"write it: binarize export {path} --onnx"
        )
    raise ExportError(
        f'"{path}" is a directory without {layout.ONNX}',
        "name an ONNX file, or a run that holds one",
    )


def entries_of(file: File, kernels: bool) -> list[Entry]:
    """A file in stock onnxruntime, and with the binarize kernels where they are wanted, here and of use to
    it."""
    ways = [False] if file.info.form != NATIVE else []
    ways += [True] if kernels and uses_kernels(file.path) else []
    if not ways:
        raise needs_kernels(file.name)
    return [Entry(file.name, file.path, file.info.form, way, file.architecture) for way in ways]
