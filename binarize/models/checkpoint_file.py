"""What a checkpoint file holds: dictionaries of tensors, known by where they stand in it.

A file is known by its content, never by its ending, and nothing is unpickled that could run code. One that is
whole and no checkpoint is told what it is.
"""

from __future__ import annotations

import argparse
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from binarize.errors import CheckpointError
from binarize.run.weights import damaged, shown

State = dict[str, Tensor]

NAMES = ("state_dict", "model_state_dict", "model", "net", "model_state", "network", "weights")
"""What the state of the network itself is called, where a file holds several, the likeliest first."""
EMA = re.compile(r"(^|_)(ema|averaged|swa)(_|$)", re.IGNORECASE)
"""What a state of averaged weights is called."""
NOT_THE_NETWORK = re.compile(r"optim|sched|scaler|callback|loop", re.IGNORECASE)
DEEPEST = 4
"""Dictionaries within dictionaries, in which states are looked for."""

LARGEST_HEADER = 100_000_000
"""Bytes that safetensors allows its header."""
TORCH_PICKLE = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The number that torch.save wrote at the beginning, before it wrote zip archives."""
FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs",
        "a pointer of Git LFS, not the file that it stands for",
        "git lfs pull",
    ),
    (b"<", "a web page: its download went wrong", "download it again, and look at what came"),
    (
        b"{",
        "JSON, such as the list of a checkpoint's parts",
        "give the file that holds the weights",
    ),
    (b"\x1f\x8b", "compressed with gzip", "unpack it first: gunzip"),
    (
        b"\x89HDF",
        "an HDF5 file, as Keras writes them",
        "give weights of the same network in PyTorch",
    ),
    (b"\x93NUMPY", "a numpy array", "save a state dict: torch.save(model.state_dict(), FILE)"),
    (b"GGUF", "a GGUF file", "give the weights that it was made of, as safetensors"),
    (
        b"\x80",
        "a plain pickle, which torch.save did not write, and which is not opened, since that can run code",
        "where you trust who wrote it, save its state dict: "
        'model = pickle.load(open("FILE", "rb")); torch.save(model.state_dict(), "weights.pth")',
    ),
    (b"\x08", "an ONNX file, by its first bytes", "give the checkpoint that it was exported from"),
)
"""Files that people take for checkpoints: how they begin, what they are, what to do."""


@dataclass(frozen=True)
class Found:
    """A state of a file.

    Attributes:
        state: its tensors by name.
        ema: whether its weights are averaged.
        note: a sentence for the user where there was a choice; else empty.
    """

    state: State
    ema: bool
    note: str = ""


def read(file: Path, ema: bool | None = None) -> Found:
    """The state of the network in a checkpoint file.

    `ema`: of two states the averaged one (True), the other (False), or the averaged one where there is one
    (None). Raises CheckpointError where there is no such state, or no telling which is the network's.
    """
    states = dict(_states(_content(file)))
    averaged = {path: state for path, state in states.items() if any(map(EMA.search, path))}
    own = {path: state for path, state in states.items() if path not in averaged}
    wanted = bool(averaged) if ema is None else ema
    here, there = (averaged, own) if wanted else (own, averaged)
    if not here and there:
        what, flag = ("no", "--ema") if wanted else ("only", "--no-ema")
        raise CheckpointError(f'"{file}" holds {what} averaged weights (EMA)', f"omit {flag}")
    if not here:
        raise CheckpointError(
            f'"{file}" holds no state dict', "save one: torch.save(model.state_dict(), FILE)"
        )
    path = _likeliest(here, file)
    note = ""
    if there and ema is None:
        note = (
            f'the averaged weights "{_told(path)}" (EMA) of the file are taken; '
            f'--no-ema takes "{_told(_likeliest(there, file))}"'
        )
    return Found(here[path], wanted, note)


def _states(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], State]]:
    """Every dictionary of tensors, with the keys that lead to it."""
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        return
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield path, tensors
    if len(path) < DEEPEST:
        for key, value in content.items():
            if not NOT_THE_NETWORK.search(key):
                yield from _states(value, (*path, key))


def _likeliest(states: Mapping[tuple[str, ...], State], file: Path) -> tuple[str, ...]:
    """The one state, else the one with the likeliest name. Raises CheckpointError where none has any."""
    named = [path for name in NAMES for path in states if path and path[-1] == name]
    named += [path for path in states if path and EMA.search(path[-1])]
    if len(states) == 1 or named:
        return named[0] if named else next(iter(states))
    names = ", ".join(f'"{_told(path)}"' for path in list(states)[:4])
    raise CheckpointError(
        f'"{file}" holds {len(states)} dictionaries of tensors ({names}), and none has a usual name',
        'save the one that is the network\'s: torch.save(torch.load(FILE)["NAME"], "weights.pth")',
    )


def _told(path: tuple[str, ...]) -> str:
    return shown(".".join(path)) or "the file itself"


def _content(file: Path) -> Any:
    """What the file holds, as safetensors or torch.load have it. Raises CheckpointError."""
    if not file.is_file():
        if file.is_dir():
            raise CheckpointError(
                f'"{file}" is a directory, not a checkpoint', "name the file in it with the weights"
            )
        raise CheckpointError(f'there is no checkpoint "{file}"', "check the path")
    try:
        with file.open("rb") as opened:
            start = opened.read(512)
        size = file.stat().st_size
    except OSError as error:
        raise damaged(file) from error
    if _is_safetensors(start, size):
        try:
            return load_file(file)
        except (SafetensorError, OSError, ValueError, MemoryError) as error:
            raise damaged(file) from error
    try:
        with (
            file.open("rb") as opened,  # not its name: torch goes by the ending
            warnings.catch_warnings(),
            torch.serialization.safe_globals([argparse.Namespace]),  # plain data, in timm's files
        ):
            warnings.simplefilter("ignore")
            return torch.load(opened, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what its unpickler meets: no common base
        raise _refusal(file, start, error) from error


def _is_safetensors(start: bytes, size: int) -> bool:
    """8 bytes of length, little endian, and so much JSON."""
    length = int.from_bytes(start[:8], "little")
    return start[8:9] == b"{" and length <= min(size - 8, LARGEST_HEADER)


def _refusal(file: Path, start: bytes, error: Exception) -> CheckpointError:
    """Why torch.load does not read a file without running what it holds."""
    if start.startswith(b"PK"):
        what = _archive(file)
        if what is not None:
            return CheckpointError(f'"{file}" is {what[0]}', what[1])
    if start.startswith(b"PK") or TORCH_PICKLE in start[:32]:
        blocked = re.search(
            r"GLOBAL ([\w.]+) was|(?:GLOBAL|global|class|function|type):? ([\w.]+\.\w+)", str(error)
        )
        if blocked is None:
            return damaged(file)
        return CheckpointError(
            f'"{file}" holds more than tensors: {shown(blocked[1] or blocked[2])}, and what is no tensor is '
            "not unpickled, since that can run code",
            "where you trust who wrote it, save its state dict: "
            'model = torch.load("FILE", weights_only=False); torch.save(model.state_dict(), "weights.pth")',
        )
    for magic, what_it_is, hint in FOREIGN:
        if start.lstrip().startswith(magic):
            return CheckpointError(f'"{file}" is {what_it_is}', hint)
    return damaged(file)


def _archive(file: Path) -> tuple[str, str] | None:
    """What a zip archive is that torch.load does not read, and what to do; None: it may be damaged."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    if any(name.endswith("/constants.pkl") for name in names):
        return (
            "a TorchScript program, not a checkpoint",
            'save its state dict: torch.save(torch.jit.load("FILE").state_dict(), "weights.pth")',
        )
    if any(name.endswith(("archive_format", "models/model.json")) for name in names):
        return (
            "a program of torch.export, not a checkpoint",
            'save its state dict: torch.save(torch.export.load("FILE").state_dict, "weights.pth")',
        )
    if names and all(name.endswith(".npy") for name in names):
        return (
            "an archive of numpy arrays, as JAX's networks are saved",
            "give weights of the same network in PyTorch",
        )
    if not any(name.endswith("data.pkl") for name in names):
        return "a zip archive without a checkpoint of torch", "unpack it, and give the file in it"
    return None
