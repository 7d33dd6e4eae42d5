"""Build a run's module again: replay its making, then load its weights. No pickle anywhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from binarize import models
from binarize.errors import CheckpointError, RunError
from binarize.layers import Addition
from binarize.rewrite.convert import replay
from binarize.run import Run, RunInfo, open_run, replacing

CUSTOM = "custom"
"""The library of a module that came from the caller's own code."""


def build(run: Run | str | Path) -> nn.Module:
    """The module of a run with its weights, in eval mode.

    `run` may also be the directory of one of its checkpoints (RUN/best, RUN/last). Raises RunError for
    a module that came from the caller's own code, CheckpointError where the weights do not fit.
    """
    run, weights = locate(run)
    model = build_info(run.info)
    load_weights(model, weights)
    return model.eval()


def locate(target: Run | str | Path) -> tuple[Run, Path]:
    """The run and the weights file that `target` means: a run, or one of its checkpoint directories."""
    if isinstance(target, Run):
        return target, target.weights
    path = Path(target)
    if path.name in ("best", "last") and (path / "model.safetensors").is_file():
        return open_run(path.parent), path / "model.safetensors"
    run = open_run(path)
    return run, run.weights


def build_info(info: RunInfo) -> nn.Module:
    """The module that `info` describes, with random weights."""
    if info.model["library"] == CUSTOM:
        raise RunError(
            f"this run holds a module of the caller's own code ({info.model['name']}), "
            "which binarize cannot build",
            "build it in Python, call binarize.convert on it, then load the run's model.safetensors",
        )
    model = models.create(info.model)
    return replay(model, info.conversion) if info.conversion else model


def added_keys(info: RunInfo) -> set[str]:
    """The keys of a run's weights that its conversion added: thresholds, shifts, scales, slopes."""
    if not info.conversion or not info.conversion["parameters"]:
        return set()
    return {
        f"{path}.{key}"
        for path, module in build_info(info).named_modules()
        if isinstance(module, Addition)
        for key in module.state_dict()
    }


def load_weights(model: nn.Module, file: str | Path, besides: Collection[str] = ()) -> None:
    """Load a state dict, latent weights included, from safetensors, or from .pth with weights_only.

    The file may hold the keys `besides` too; they are left. Raises CheckpointError for a file that is
    missing, corrupt or of another model.
    """
    file = Path(file)
    state = read_state(file)
    own = model.state_dict()
    missing = [key for key in own if key not in state]
    unknown = [key for key in state if key not in own and key not in besides]
    shapes = [k for k in own if k in state and own[k].shape != state[k].shape]
    if missing or unknown or shapes:
        raise CheckpointError(
            f'"{file}" does not fit the model: {_differences(missing, unknown, shapes)}',
            "give the checkpoint of the same model; --num-classes must be the checkpoint's too",
        )
    model.load_state_dict({key: state[key] for key in own})


def save_weights(path: Path, state: Mapping[str, Tensor], **metadata: Any) -> None:
    """Write a state_dict as safetensors, beside and then in the place of `path`.

    Tensors are copied: safetensors refuses tensors that share memory, as tied weights do.
    """
    copies = {key: value.detach().to("cpu", copy=True).contiguous() for key, value in state.items()}
    with replacing(path) as temporary:
        save_file(copies, temporary, {key: str(value) for key, value in metadata.items()})


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, without running anything that it might hold."""
    if not file.is_file():
        raise CheckpointError(f'there is no checkpoint "{file}"', "check the path")
    if file.suffix == ".safetensors":
        try:
            return load_file(file)
        except (SafetensorError, OSError, ValueError) as error:
            raise _damaged(file) from error
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what its unpickler meets: no common base
        raise _damaged(file) from error
    for key in ("state_dict", "model", "state_dict_ema"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(
            f'"{file}" holds no state dict', "save one: torch.save(model.state_dict(), FILE)"
        )
    return {key.removeprefix("module."): value for key, value in content.items()}


def _damaged(file: Path) -> CheckpointError:
    return CheckpointError(
        f'"{file}" is corrupt, truncated or no checkpoint',
        "give a safetensors file, or a .pth that torch.load reads with weights_only=True",
    )


def _differences(missing: list[str], unknown: list[str], shapes: list[str]) -> str:
    parts = [
        f"{len(keys)} {word} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
        for word, keys in (("missing", missing), ("unknown", unknown), ("of other shape", shapes))
        if keys
    ]
    return ", ".join(parts)
