"""A run: the directory that `convert` or `train` makes and that every later command reads.

run.json              what the model is and how to rebuild it (`RunInfo`); no pickle anywhere
summary.json          the layer table and its totals
env.json              versions and machine
model.safetensors     weights, in a run made by `convert`
last/ best/           weights (model.safetensors) and training state, in a run made by `train`
recipe.resolved.yaml  the recipe as it was run, in a run made by `train`
metrics.csv           one line per epoch; indicators.csv: one per epoch and binary layer
tensorboard/          the same for TensorBoard, where the recipe wants it
report.html README.md what `binarize report` made of all that
twin/                 the float twin, itself a run, where the recipe trains one
model.onnx            where `export` wrote it
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from binarize.errors import RunError

ROOT = Path("runs")
FORMAT = 1


@dataclass
class RunInfo:
    """The contents of run.json: all that is needed to build the same module again.

    Attributes:
        kind: "converted" or "trained".
        model: `{"name", "library", "library_version", "kwargs"}`: replayed by `models.create`.
        conversion: what `rewrite.replay` needs, or None for a float model.
        weights: where the weights came from, in words.
        preprocess: `{"img_size", "mean", "std", "interpolation", "crop_pct"}`.
        data: `{"name", "dir"}` of the data the run was trained on; empty for a converted run.
        classes: class names in the order of the logits; empty where unknown.
        parent: the run this one started from, or None.
        created: seconds since the epoch; what "newest" means.
    """

    kind: str
    model: dict[str, Any]
    conversion: dict[str, Any] | None
    weights: str
    preprocess: dict[str, Any]
    data: dict[str, Any] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    parent: str | None = None
    created: float = field(default_factory=time.time)
    format: int = FORMAT


@dataclass(frozen=True)
class Run:
    """A run directory that exists."""

    path: Path

    @property
    def info(self) -> RunInfo:
        try:
            stored = self.read_json("run.json")
            if stored.get("format") != FORMAT:
                raise RunError(
                    f'run "{self.path}" has format {stored.get("format")}; this version reads {FORMAT}',
                    "make the run again with this version of binarize",
                )
            return RunInfo(**stored)
        except (TypeError, AttributeError) as error:
            raise self._damaged("run.json") from error

    @property
    def weights(self) -> Path:
        """The safetensors file that `load` reads: the last checkpoint, else the converted weights."""
        for name in ("last/model.safetensors", "model.safetensors"):
            if (self.path / name).is_file():
                return self.path / name
        raise RunError(
            f'run "{self.path}" holds no weights yet',
            f"finish its training: binarize train --resume {self.path}",
        )

    def read_json(self, name: str) -> Any:
        """The content of one of the run's JSON files. Raises RunError where it is missing or damaged."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (ValueError, FileNotFoundError) as error:
            raise self._damaged(name) from error

    def _damaged(self, name: str) -> RunError:
        return RunError(
            f'"{self.path / name}" is missing or damaged', "make the run again: binarize convert"
        )


def is_run(path: Path) -> bool:
    return (path / "run.json").is_file()


def open_run(path: str | Path) -> Run:
    """The run at `path`. Raises RunError where there is none."""
    path = Path(path)
    if not is_run(path):
        what = "is not a run (it has no run.json)" if path.exists() else "does not exist"
        raise RunError(f'"{path}" {what}', "binarize convert MODEL makes a run under runs/")
    return Run(path)


def newest_run(root: Path = ROOT) -> Run:
    """The run under `root` that was made last. Raises RunError where there is none."""
    # A name that begins with a dot is half a run, left behind by a process that was killed.
    runs = [Run(entry.parent) for entry in root.glob("[!.]*/run.json")]
    if not runs:
        raise RunError(f"there is no run under {root}/ yet", "make one: binarize convert resnet18")
    return max(runs, key=lambda run: run.info.created)


def new_run_path(name: str, root: Path = ROOT) -> Path:
    """`root/name`, or `root/name-2`, `root/name-3`, … where that is taken."""
    path, number = root / name, 1
    while path.exists():
        number += 1
        path = root / f"{name}-{number}"
    return path


def write_text(path: Path, text: str) -> None:
    """Write beside, then rename: `path` holds the old text or the new one, never half of one."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_info(path: Path, info: RunInfo) -> None:
    """Write run.json, which makes `path` a run: write it after everything else."""
    write_json(path / "run.json", asdict(info))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` when the block ends well, else vanishes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _sync(temporary)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's 0600 is meant for secrets
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A temporary directory beside `path` that becomes `path` when the block ends well."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f'"{path}" exists already', "name another directory with -o")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync(path: Path) -> None:
    """Have the file on disk before its rename is, so that a power cut leaves no empty file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
