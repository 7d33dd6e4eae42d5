"""Checkpoints: `convert --checkpoint` of safetensors and .pth files that are damaged, odd or hostile.

Pickles with code must never run; files may claim any size, shape, type, offset and stride; archives may hold
anything; and any file may be called a checkpoint.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import random as random_
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import damage
import documents
import torch
import trained
from forks import FINE, UNEXPECTED, Outcome
from fuzzers import Case
from judge import judge
from safetensors.torch import save
from torch import Tensor

COUNT, SHORT = 200, 24
MODEL = "cifar_resnet20"
State = dict[str, Any]
RAN = "ran"
"""A file that code in a checkpoint would make."""


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    from binarize import models

    good = folder / "good.safetensors"
    state = models.create(MODEL, num_classes=10).state_dict()
    good.write_bytes(save(state))
    trained.warm([*_command(good, folder), "--dry-run"])
    for number in range(count):
        random = random_.Random(f"{seed}-{number}")
        kind = random.choice(list(KINDS))
        yield _case(kind, dict(state), random)


def _case(kind: str, state: State, random: random_.Random) -> Case:
    suffix = random.choice(KINDS[kind][0])

    def check(work: Path) -> Outcome:
        file = work / f"checkpoint{suffix}"
        os.chdir(work)
        KINDS[kind][1](file, state, random)
        outcome = judge(_command(file, work), file)
        if (work / RAN).exists():
            return Outcome(UNEXPECTED, f"ran code\n{outcome.words}")
        if outcome.kind == FINE and (work / "run").exists():
            return judge(["eval", str(work / "run"), "--limit", "4", "-j", "0"], file, named=False)
        return outcome

    return Case(f"{kind}{suffix}", check)


def _command(file: Path, work: Path) -> list[str]:
    size = ["--img-size", "16", "--stem", "keep", "--num-classes", "10"]
    return ["convert", MODEL, "--checkpoint", str(file), *size, "-o", str(work / "run")]


# Tensors that are odd.


def _odd_tensor(like: Tensor, random: random_.Random) -> Tensor:
    """In the place of `like`."""
    kinds = [torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.int64, torch.bool]
    kinds += [torch.complex64, torch.float8_e4m3fn, torch.uint8]
    odd: list[Callable[[], Tensor]] = [
        lambda: torch.full_like(like, float("nan"), dtype=torch.float32),
        lambda: torch.full_like(like, float("-inf"), dtype=torch.float32),
        lambda: torch.full_like(like, -3e38, dtype=torch.float32),
        lambda: like.to(random.choice(kinds)),
        lambda: like.to(random.choice(kinds)),
        lambda: like[None],
        lambda: like.flatten()[:0],
        lambda: torch.tensor(1.0),
        lambda: torch.zeros(1).expand(like.shape),
        lambda: torch.zeros(1).expand(1 << 40),
        lambda: torch.zeros(like.numel() * 2)[::2].reshape(like.shape),
        lambda: like.transpose(0, -1) if like.dim() else like,
        lambda: torch.zeros(0, 1 << 40),
    ]
    return random.choice(odd)()


def _odd_pickled(like: Tensor, random: random_.Random) -> Any:
    """What only a pickle can hold."""
    odd: list[Callable[[], Any]] = [
        lambda: _odd_tensor(like, random),
        lambda: torch.nn.Parameter(like) if like.is_floating_point() else like,
        lambda: like.to("meta"),
        lambda: like.float().to_sparse(),
        lambda: torch.quantize_per_tensor(like.float(), 0.1, 0, torch.qint8),
        lambda: like.float().conj(),
        lambda: Rebuilt((like.untyped_storage(), 0, (1 << 40,), (1,))),
        lambda: Rebuilt((like.untyped_storage(), 1 << 40, tuple(like.shape), like.stride())),
        lambda: Rebuilt((like.untyped_storage(), -5, tuple(like.shape), like.stride())),
        lambda: Rebuilt((like.untyped_storage(), 0, tuple(like.shape), (-1,) * like.dim())),
        lambda: Rebuilt((like.untyped_storage(), 0, (-3,), (1,))),
        lambda: Rebuilt((None, "x", [], {})),
        *(lambda value=value: value for value in (None, 3, "x", b"x", [1], {"a": 1}, {1, 2}, 1j)),
    ]
    return random.choice(odd)()


class Rebuilt:
    """A tensor of any storage, offset, size and stride."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self.arguments = arguments

    def __reduce__(self) -> Any:
        storage = self.arguments[0]
        if isinstance(storage, torch.UntypedStorage):
            storage = torch.storage.TypedStorage(
                wrap_storage=storage, dtype=torch.float32, _internal=True
            )
        rest = (*self.arguments[1:], False, OrderedDict())
        return torch._utils._rebuild_tensor_v2, (storage, *rest)


def _keys(state: State, random: random_.Random) -> State:
    """The same tensors under odd names."""
    key = random.choice(list(state))
    odd: list[Callable[[], State]] = [
        lambda: {f"module.{k}": v for k, v in state.items()},
        lambda: {k.replace("conv1", "\x1b[2J\u202e"): v for k, v in state.items()},
        lambda: {**state, "x" * 100_000: state[key]},
        lambda: {**state, **{f"more.{i}": torch.zeros(1) for i in range(20_000)}},
        lambda: {k: v for k, v in state.items() if k != key},
        lambda: {},
        lambda: {**state, "": state[key]},
        lambda: {**state, "a\0b\nc": state[key]},
        lambda: {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")},
        lambda: {**state, "__metadata__x": state[key]},
    ]
    return random.choice(odd)()


def _with_odd(state: State, random: random_.Random, odd: Callable[..., Any]) -> State:
    for _ in range(random.choice([1, 1, 3])):
        key = random.choice(list(state))
        state = {**state, key: odd(state[key], random)}
    return state


# safetensors.


def _split(state: State) -> tuple[dict[str, Any], bytes]:
    raw = save({k: v.contiguous() for k, v in state.items()})
    length = struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def _join(header: str, data: bytes, length: int | None = None) -> bytes:
    raw = header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def _safe_header(file: Path, state: State, random: random_.Random) -> None:
    header, data = _split(state)
    some = dict(random.sample(sorted(header.items()), 3))
    found = documents.spoil(some, random, file.parent / "outside")
    whole = {**header, **found.document} if isinstance(found.document, dict) else found.document
    file.write_bytes(_join(documents.json_text(whole), data))


def _safe_claims(file: Path, state: State, random: random_.Random) -> None:
    """Offsets, shapes, types and lengths that do not agree."""
    header, data = _split(state)
    one, other = (header[key] for key in random.sample(sorted(header), 2))
    length = None
    kind = random.choice(["overlap", "swap", "dtype", "shape", "length", "beyond", "metadata"])
    if kind == "overlap":
        one["data_offsets"] = list(other["data_offsets"])
    elif kind == "swap":
        one["data_offsets"], other["data_offsets"] = other["data_offsets"], one["data_offsets"]
    elif kind == "dtype":
        names = ["F64", "F16", "BF16", "I8", "BOOL", "U64", "C64", "F8_E4M3", "F4", "zzz", "F32 "]
        one["dtype"] = random.choice(names)
    elif kind == "shape":
        one["shape"] = random.choice([[], [0], [2**63], [2**32, 2**32], [1] * 70, one["shape"] * 2])
    elif kind == "length":
        length = random.choice([0, 1, 7, len(data), 2**31, 2**63, 2**64 - 1, 100_000_001])
    elif kind == "beyond":
        start, end = one["data_offsets"]
        one["data_offsets"] = random.choice(
            [[start, end + 1], [end, start], [2**63, 2**63 + 4], [len(data), len(data) * 2], [0, 0]]
        )
    else:
        odd = [{"a": 1}, [], "x", {"format": "np"}, {"\x1b": "\x1b"}, {"x": "y" * 1_000_000}]
        header["__metadata__"] = random.choice(odd)
    file.write_bytes(_join(json.dumps(header), data, length))


def _safe_text(file: Path, state: State, random: random_.Random) -> None:
    """A header that is hardly JSON."""
    header, data = _split(state)
    text = json.dumps(header)
    _, raw = damage.damage(text.encode(), random, damage.TEXT)
    file.write_bytes(struct.pack("<Q", len(raw)) + raw + data)


def _safe_tensors(file: Path, state: State, random: random_.Random) -> None:
    odd = _with_odd(state, random, _odd_tensor)
    whole = {k: v.contiguous() if v.numel() < 1 << 30 else v[:3].clone() for k, v in odd.items()}
    file.write_bytes(save(whole))


def _safe_keys(file: Path, state: State, random: random_.Random) -> None:
    file.write_bytes(save({k: v.clone().contiguous() for k, v in _keys(state, random).items()}))


def _safe_bytes(file: Path, state: State, random: random_.Random) -> None:
    file.write_bytes(damage.damage(save(state), random, damage.ANY)[1])


# .pth.


def _saved(content: Any, legacy: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def _pth_bytes(file: Path, state: State, random: random_.Random) -> None:
    raw = _saved(state, legacy=random.random() < 0.3)
    file.write_bytes(damage.damage(raw, random, damage.ANY)[1])


def _pth_tensors(file: Path, state: State, random: random_.Random) -> None:
    odd = _with_odd(state, random, _odd_pickled)
    file.write_bytes(_saved(odd, legacy=random.random() < 0.2))


def _pth_keys(file: Path, state: State, random: random_.Random) -> None:
    content: Any = _keys(state, random)
    if random.random() < 0.3:
        key = random.choice([1, None, 1.5, True, ("a", "b"), b"conv1.weight"])
        content = {**state, key: torch.zeros(1)}
    file.write_bytes(_saved(content))


def _pth_nested(file: Path, state: State, random: random_.Random) -> None:
    """The state dict inside something."""
    inside: State = dict(state)
    itself: State = {}
    itself["state_dict"] = itself
    deep: Any = state
    for _ in range(500):
        deep = {"model": deep}
    odd: list[Any] = [
        *({"state_dict": state, "epoch": 3}, {"model": {"state_dict": state}}, {"net": state}),
        *({"state_dict": None}, {"state_dict": []}, [state], (state, state), state["conv1.weight"]),
        *(None, 3, "words", [], {}, itself, deep, {"state_dict_ema": inside, "optimizer": {}}),
        *(OrderedDict(state), {"state_dict": {"state_dict": {}}}, {"model": "resnet18"}),
        *([[[]]] * 1000, {str(i): i for i in range(50_000)}),
    ]
    file.write_bytes(_saved(random.choice(odd)))


class Runs:
    """Unpickled, it would run code."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __reduce__(self) -> Any:
        code = f"open({RAN!r}, 'w').close()"
        ways: dict[str, Any] = {
            "system": (os.system, (f"touch {RAN}",)),
            "exec": (exec, (code,)),
            "eval": (eval, (code,)),
            "mkdir": (os.mkdir, (RAN,)),
            "load": (torch.load, ("/etc/passwd",)),
            "hub": (torch.hub.load, ("a/b", "c")),
            "open": (open, (RAN, "w")),
            "getattr": (getattr, (os, "system")),
        }
        return ways[self.how]


HOW = ("system", "exec", "eval", "mkdir", "load", "hub", "open")


def _pth_code(file: Path, state: State, random: random_.Random) -> None:
    """Pickles with code: as torch saves them, or alone."""
    code = Runs(random.choice(HOW))
    content = random.choice([code, {**state, "x": code}, {"state_dict": state, "epoch": code}])
    plain = pickle.dumps(code, protocol=random.choice([0, 2, 4]))
    raw = [
        _saved(content),
        _saved(content, legacy=True),
        plain,
        pickle.dumps(torch.nn.Linear(1, 1)),
    ]
    file.write_bytes(random.choice(raw))


def _pth_module(file: Path, state: State, random: random_.Random) -> None:
    """Objects of libraries, which are no state dict."""
    network = torch.nn.Sequential(torch.nn.Linear(2, 2))
    odd = [network, {"model": network}, torch.optim.SGD(network.parameters(), 0.1).state_dict()]
    file.write_bytes(_saved(random.choice([*odd, torch.Size([1]), torch.float32, Path("x")])))


def _pth_archive(file: Path, state: State, random: random_.Random) -> None:
    """Members of the archive that are odd."""
    with zipfile.ZipFile(io.BytesIO(_saved(state))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice(sorted(members))
    pickled = next(key for key in members if key.endswith("data.pkl"))
    way = random.choice(
        ["less", "short", "more", "up", "deflated", "bomb", "pickle", "order", "twice"]
    )
    kind = zipfile.ZIP_STORED
    if way == "less":
        del members[name]
    elif way == "short":
        members[name] = members[name][: len(members[name]) // 2]
    elif way == "more":
        members |= {"x" * 1000: b"", "a/b/c": b"x", "code/__torch__.py": b"import os"}
    elif way == "up":
        members |= {"../../up": b"x", "/etc/up": b"x", "\x1b[2J": b"x"}
    elif way in ("deflated", "bomb"):
        kind = zipfile.ZIP_DEFLATED
        members |= {name: bytes(1 << 28)} if way == "bomb" else {}
    elif way == "pickle":
        members[pickled] = damage.damage(members[pickled], random, damage.ANY)[1]
    elif way == "order":
        members = {key: value for key, value in members.items() if not key.endswith("byteorder")}
        members[pickled.replace("data.pkl", "byteorder")] = random.choice([b"big", b"zzz", b""])
    with zipfile.ZipFile(file, "w", kind) as archive:
        for key, value in members.items():
            archive.writestr(key, value)
        if way == "twice":
            archive.writestr(name, members[name] + b"x")


# Everything else that is called a checkpoint.


def _something_else(file: Path, state: State, random: random_.Random) -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            archive.addfile(tarfile.TarInfo(name))
    odd: list[bytes] = [
        *(b"", b"\n", b"<!doctype html><title>404</title>", b"\x89PNG\r\n\x1a\n" + bytes(64)),
        *(
            b"version https://git-lfs.example/spec/v1\noid sha256:0\nsize 1\n",
            b"PK\x05\x06" + bytes(18),
        ),
        *(
            gzip.compress(_saved({"a": torch.zeros(2)})),
            tar.getvalue(),
            b"PK\x03\x04",
            b"\x80\x02.",
        ),
        *(
            save(state),
            _saved(state),
            b"\x80\x04\x95" + b"\xff" * 8,
            b"((" * 5000,
            b"I" + b"9" * 5000,
        ),
        *(b"\x80\x02]q\x00" + b"(h\x00l" * 10_000 + b".", json.dumps([1] * 1000).encode()),
    ]
    file.write_bytes(random.choice(odd))


def _no_file(file: Path, state: State, random: random_.Random) -> None:
    def terabyte() -> None:
        with file.open("wb") as content:
            content.truncate(1 << 40)

    random.choice(
        [
            *(file.mkdir, lambda: os.mkfifo(file), lambda: None, terabyte),
            *(lambda: file.symlink_to("nothing"), lambda: file.symlink_to(file.name)),
            lambda: file.symlink_to("/dev/zero"),
        ]
    )()


SAFE, PTH, ALL = (".safetensors",), (".pth", ".pt", ".bin", ""), (".safetensors", ".pth")
KINDS: dict[str, tuple[tuple[str, ...], Callable[[Path, State, random_.Random], None]]] = {
    "safetensors, header": (SAFE, _safe_header),
    "safetensors, claims": (SAFE, _safe_claims),
    "safetensors, text": (SAFE, _safe_text),
    "safetensors, tensors": (SAFE, _safe_tensors),
    "safetensors, names": (SAFE, _safe_keys),
    "safetensors, bytes": (SAFE, _safe_bytes),
    "pickle, bytes": (PTH, _pth_bytes),
    "pickle, tensors": (PTH, _pth_tensors),
    "pickle, names": (PTH, _pth_keys),
    "pickle, nested": (PTH, _pth_nested),
    "pickle, code": (PTH, _pth_code),
    "pickle, objects": (PTH, _pth_module),
    "pickle, archive": (PTH, _pth_archive),
    "something else": (ALL, _something_else),
    "no file": (ALL, _no_file),
}
