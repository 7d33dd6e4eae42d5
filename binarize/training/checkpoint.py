"""Checkpoints: `last/` and `best/` of a run. No pickle anywhere.

    last/model.safetensors      the weights that evaluation and export use (the averaged ones with EMA)
    last/training.safetensors   tensors of the training state: the optimiser's, and with EMA the raw weights
    last/training.json          its scalars, the place in the recipe, and the size and CRC of both files
    best/model.safetensors      the weights of the best epoch so far, its number and top-1 as metadata

`last/` is written whole beside the old one and then put in its place by two renames, so weights and
training state always come from one epoch. A process killed between the two leaves the old one under
another name, and `recover` puts it back.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from binarize.errors import CheckpointError
from binarize.run import InvalidRecord, layout, replacing
from binarize.run.files import read_file
from binarize.run.layout import TRAINING_SCALARS, TRAINING_TENSORS, WEIGHTS
from binarize.run.leftovers import remove_leftovers
from binarize.run.record import parse_json
from binarize.run.weights import save_weights
from binarize.training.tensor_tree import pack, portable, unpack


@dataclass
class Checkpoint:
    """All that the end of an epoch leaves behind.

    Attributes:
        weights: state_dict that evaluation uses.
        raw: state_dict that the optimiser works on where that is another one (EMA), else None.
        optimizer: the optimiser's state_dict; None at the end of a stage, as the next one has its own.
        state: JSON object that says where in the recipe this is (`training_state.TrainingState`).
    """

    weights: dict[str, Tensor]
    raw: dict[str, Tensor] | None
    optimizer: dict[str, Any] | None
    state: dict[str, Any]


def save(last: Path, checkpoint: Checkpoint) -> None:
    """Make `checkpoint` the contents of the directory `last`, whole or not at all."""
    part, old = _beside(last)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _write(part, checkpoint)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    if last.exists():
        last.replace(old)
    part.replace(last)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def fits(last: Path) -> Iterator[None]:
    """In this block, what torch says of tensors that do not fit is said of the checkpoint `last`."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise CheckpointError(
            f'"{last}" does not fit the model or its optimiser',
            f'remove "{last}" and resume again: training starts over from the initial weights',
        ) from error


def recover(run: Path) -> None:
    """Undo what was cut short in a run's directory: `last` is whole afterwards, or there is none."""
    last = run / layout.LAST
    part, old = _beside(last)
    if old.exists() and not last.exists():
        old.replace(last)
    for cut_short in (part, old):
        shutil.rmtree(cut_short, ignore_errors=True)
    for directory in (run, run / layout.BEST):
        remove_leftovers(directory)


def load(last: Path) -> Checkpoint:
    """Read the directory `last`. Raises CheckpointError where a file is missing or damaged."""
    scalars = check(last)
    try:
        tensors = load_file(last / TRAINING_TENSORS)
        raw = {key[4:]: value for key, value in tensors.items() if key.startswith("raw.")}
        optimizer = unpack(scalars["optimizer"], tensors)
        return Checkpoint(load_file(last / WEIGHTS), raw or None, optimizer, scalars["place"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError, SafetensorError) as error:
        raise _damaged(last / TRAINING_TENSORS) from error


def check(last: Path) -> dict[str, Any]:
    """The contents of training.json. Raises CheckpointError where it or a file beside it is damaged."""
    try:
        scalars = parse_json(read_file(last / TRAINING_SCALARS))
        expected = {name: scalars["files"][name] for name in (WEIGHTS, TRAINING_TENSORS)}
    except (OSError, InvalidRecord, KeyError, TypeError) as error:
        raise _damaged(last / TRAINING_SCALARS) from error
    for name, fingerprint in expected.items():
        try:
            whole = _agrees(last / name, fingerprint)
        except OSError as error:
            raise _damaged(last / name) from error
        if not whole:
            raise _damaged(last / name)
    if not isinstance(scalars.get("place"), dict) or "optimizer" not in scalars:
        raise _damaged(last / TRAINING_SCALARS)
    return scalars


def _write(part: Path, checkpoint: Checkpoint) -> None:
    tensors: dict[str, Tensor] = {}
    optimizer = pack(checkpoint.optimizer, tensors)
    for name, value in (checkpoint.raw or {}).items():
        tensors[f"raw.{name}"] = portable(value)
    save_weights(part / WEIGHTS, checkpoint.weights)
    with replacing(part / TRAINING_TENSORS) as temporary:
        save_file(tensors, temporary)
    files = {name: _fingerprint(part / name) for name in (WEIGHTS, TRAINING_TENSORS)}
    scalars = {"place": checkpoint.state, "optimizer": optimizer, "files": files}
    with replacing(part / TRAINING_SCALARS) as temporary:
        temporary.write_text(json.dumps(scalars))


def _agrees(path: Path, expected: Any) -> bool:
    """Whether a file is the one that was written; one of another size is not read."""
    if not isinstance(expected, dict) or path.stat().st_size != expected.get("bytes"):
        return False
    return _fingerprint(path) == expected


def _fingerprint(path: Path) -> dict[str, int]:
    """Size and CRC-32: a file that was cut short or altered has others."""
    crc, size = 0, 0
    if not path.is_file():
        raise OSError(f"{path} is not an ordinary file")
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            crc, size = zlib.crc32(block, crc), size + len(block)
    return {"bytes": size, "crc32": crc}


def _beside(last: Path) -> tuple[Path, Path]:
    return last.with_name(f".{last.name}.part"), last.with_name(f".{last.name}.old")


def _damaged(file: Path) -> CheckpointError:
    return CheckpointError(
        f'"{file}" is missing or damaged',
        f'remove "{file.parent}" and resume again: training starts over from the initial weights',
    )
