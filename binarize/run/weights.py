"""State dicts of runs, in and out: safetensors, which hold tensors alone.

Checkpoints that people have are read by `models.checkpoint`.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.parameter import is_lazy

from binarize.errors import BinarizeError, CheckpointError
from binarize.run.files import replacing

METADATA = "__metadata__"
LONGEST_NAME = 100
BROKEN = "its training diverged, or the file is damaged: take weights that are finite"


def load_weights(model: nn.Module, file: str | Path, besides: Collection[str] = ()) -> None:
    """Load a run's state dict, latent weights included, from safetensors.

    The file may hold the keys `besides` too; they are left out. Raises CheckpointError for a file that is
    missing, corrupt or of another model, and for tensors that are no floating-point numbers or not finite.
    """
    fill(model, read_state(Path(file)), Path(file), besides)


def fill(
    model: nn.Module, state: Mapping[str, Tensor], file: Path | str, besides: Collection[str] = ()
) -> None:
    """Give `model` the tensors that `file` holds, all of them its own; see `load_weights`."""
    own = model.state_dict()
    missing = [key for key in own if key not in state]
    unknown = [key for key in state if key not in own and key not in besides]
    shapes = [k for k in own if k in state and own[k].shape != state[k].shape]
    if missing or unknown or shapes:
        raise CheckpointError(
            f'"{file}" does not fit the model: {_differences(missing, unknown, shapes)}',
            "give the checkpoint of the same model; --num-classes must be the checkpoint's too",
        )
    for key in own:
        _check_type(key, own[key], state[key], file)
    load_state(model, {key: state[key] for key in own})
    check_values(model, f'"{file}"')


class _Versioned(OrderedDict[str, Tensor]):
    """A state dict with the versions of the modules, where torch keeps them."""

    _metadata: dict[str, Any]


def load_state(model: nn.Module, state: Mapping[str, Tensor], strict: bool = True) -> None:
    """`model.load_state_dict`, for tensors that were saved without the versions of their modules: they are of
    the versions that `model` has. Modules that ask for theirs cannot be loaded otherwise."""
    versioned = _Versioned(state)
    versioned._metadata = getattr(model.state_dict(), "_metadata", {})
    model.load_state_dict(versioned, strict=strict)


def check_values(
    model: nn.Module, where: str, error: type[BinarizeError] = CheckpointError
) -> None:
    """Raises `error`, which names the tensor, where a parameter or statistic of `model` is not finite or the
    variance of a normalisation is negative. `where`: what has these weights.

    Other buffers may be infinite, as masks of attention are, but not NaN.
    """
    for name, parameter in model.named_parameters():
        _check_finite(name, parameter, where, error)
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        for leaf, buffer in module._buffers.items():
            if buffer is not None:
                infinite = not leaf.startswith("running_")
                _check_finite(prefix + leaf, buffer, where, error, infinite)
        variance = module._buffers.get("running_var")
        ends = None if variance is None else _range(variance)
        if ends is not None and ends[0] < -getattr(module, "eps", 0.0):
            raise error(
                f'"{prefix}running_var" of {where} is a variance and goes down to {ends[0]:.3g}',
                BROKEN,
            )


def _check_finite(
    name: str, tensor: Tensor, where: str, error: type[BinarizeError], infinite: bool = False
) -> None:
    ends = _range(tensor)
    if ends is None or all(map(math.isfinite, ends)):
        return
    if any(map(math.isnan, ends)):
        raise error(f'"{name}" of {where} holds NaN', BROKEN)
    if not infinite:
        raise error(f'"{name}" of {where} holds infinite values', BROKEN)


def _range(tensor: Tensor) -> tuple[float, float] | None:
    """Smallest and largest value, NaN if there is one; None for what has no values, or no real numbers."""
    uninitialised = isinstance(tensor, FakeTensor) or is_lazy(tensor) or tensor.is_meta
    if uninitialised or not tensor.is_floating_point() or tensor.numel() == 0:
        return None
    wide = tensor.detach() if tensor.element_size() > 1 else tensor.detach().float()
    low, high = wide.aminmax()
    return float(low), float(high)


def _check_type(key: str, own: Tensor, found: Tensor, file: Path | str) -> None:
    """Raises CheckpointError for a weight in the file that is no dense tensor of floating-point numbers."""
    if own.is_floating_point() and not found.is_floating_point():
        kind = str(found.dtype).removeprefix("torch.")
    elif found.layout != torch.strided:
        kind = f"a {str(found.layout).removeprefix('torch.')} tensor"
    else:
        return
    raise CheckpointError(
        f'"{file}" holds "{key}" as {kind}, and weights are dense floating-point tensors',
        "give a checkpoint of the float model, not one that is quantised or sparse",
    )


def save_weights(path: Path, state: Mapping[str, Tensor], **metadata: Any) -> None:
    """Write a state_dict as safetensors, beside and then in the place of `path`.

    Tensors are copied: safetensors refuses tensors that share memory, as tied weights do. Equal tensors and
    metadata give equal bytes.
    """
    copies = {key: value.detach().to("cpu", copy=True).contiguous() for key, value in state.items()}
    with replacing(path) as temporary:
        save_file(copies, temporary, {key: str(value) for key, value in metadata.items()})
        _sort_metadata(temporary)


def _sort_metadata(file: Path) -> None:
    """Put the metadata of a safetensors file in the order of its keys; safetensors writes it in any.

    The header is 8 bytes of length, little endian, and so much JSON with spaces at its end.
    """
    with file.open("r+b") as content:
        length = int.from_bytes(content.read(8), "little")
        header = json.loads(content.read(length))
        if METADATA in header:
            header[METADATA] = dict(sorted(header[METADATA].items()))
            text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
            assert len(text) <= length  # the tensors follow at once
            content.seek(8)
            content.write(text.ljust(length))


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a run's safetensors file by name. Raises CheckpointError."""
    if not file.is_file():
        raise CheckpointError(f'there is no checkpoint "{file}"', "check the path")
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise damaged(file) from error


def damaged(file: Path) -> CheckpointError:
    """The error for a file that is read by nothing here."""
    return CheckpointError(
        f'"{file}" is corrupt, truncated or no checkpoint',
        "give a safetensors file, or a .pth that torch.load reads with weights_only=True",
    )


def _differences(missing: list[str], unknown: list[str], shapes: list[str]) -> str:
    parts = [
        f"{len(keys)} {word} ({', '.join(map(shown, keys[:3]))}{', …' if len(keys) > 3 else ''})"
        for word, keys in (("missing", missing), ("unknown", unknown), ("of other shape", shapes))
        if keys
    ]
    return ", ".join(parts)


def shown(key: str) -> str:
    """A name as it is told; a file may hold one of any length."""
    return key if len(key) <= LONGEST_NAME else f"{key[: LONGEST_NAME - 1]}…"
