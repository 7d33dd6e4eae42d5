"""Which GPU a trial is trained on, where several trials are trained at a time: one that few others use."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: numbers or UUIDs."""
    count = torch.cuda.device_count()
    listed = os.environ.get(VISIBLE)
    names = map(str, range(count)) if listed is None else listed.split(",")
    return [name.strip() for name in names][
        :count
    ]  # CUDA ignores what follows a name it does not know


def least_used(gpus: Sequence[str], used: Sequence[str | None]) -> str | None:
    """The first of the GPUs that are in `used` least often; None where there is none."""
    return min(gpus, key=list(used).count, default=None)
