"""The machine, through accelerate: device, precision and processes."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import re
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from accelerate import Accelerator, DataLoaderConfiguration, DistributedDataParallelKwargs
from accelerate.data_loader import prepare_data_loader
from accelerate.state import AcceleratorState, PartialState
from torch import Tensor, nn

from binarize.data import Loader, ResidentLoader
from binarize.errors import TrainingError
from binarize.recipe.schema import Engine
from binarize.training.objective import Objective

AUTO = "auto"
DEVICE = "ACCELERATE_TORCH_DEVICE"
"""What accelerate looks up to find a device."""
PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


class TrainingLoader(Protocol):
    """A loader of this process's share of the training images: accelerate's, or a `ResidentLoader`."""

    sampler: Any

    def __len__(self) -> int:
        """Batches in a pass."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...

    def end(self) -> None:
        """To be called by whoever stops before the last batch."""


def make_accelerator(config: Engine, batch_size: int) -> Accelerator:
    """The Accelerator of a recipe's `engine` section, also under `accelerate launch`.

    Raises TrainingError for a precision that the device does not have, and for a batch that cannot be
    shared evenly among the processes.
    """
    AcceleratorState._reset_state()  # a process may train twice, in another precision
    try:
        with chosen(config.device):
            accelerator = Accelerator(
                mixed_precision=PRECISIONS[config.precision],
                # The loaders pin their batches: the host does not wait for the copy to the device.
                dataloader_config=DataLoaderConfiguration(split_batches=True, non_blocking=True),
                kwargs_handlers=[DistributedDataParallelKwargs()],
            )
    except ValueError as error:
        raise _no_precision(config) from error
    if config.precision == "fp16" and accelerator.scaler is None:
        raise _no_precision(config)
    processes = accelerator.num_processes
    if batch_size % processes:
        raise TrainingError(
            f"a batch of {batch_size} images cannot be shared among {processes} processes",
            f"choose a multiple: --set data.batch_size={-(-batch_size // processes) * processes}",
        )
    return accelerator


@contextlib.contextmanager
def chosen(device: str) -> Iterator[None]:
    """An Accelerator that is made in this block is on `device`: a name of torch's, or "auto".

    Raises TrainingError for a device that is not there, and for one of several processes, which
    `accelerate launch` gives a device each.
    """
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    if several and device != AUTO:
        raise TrainingError(
            f"engine.device is {device}, and accelerate launch chooses the device of each process",
            "omit --device",
        )
    if not several:
        PartialState._reset_state()  # which keeps the device of an earlier training
    if device == AUTO:
        yield
        return
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = re.split(r"[.\n]", str(error))[0] or "torch has no such device"
        raise TrainingError(
            f'there is no device "{device}": {reason}', "--device cpu is always there"
        ) from error
    before = os.environ.get(DEVICE)
    os.environ[DEVICE] = device
    try:
        yield
    finally:
        if before is None:
            del os.environ[DEVICE]
        else:
            os.environ[DEVICE] = before


def wrapped(objective: Objective, idle: bool, accelerator: Accelerator) -> nn.Module:
    """`objective` with autocast and the exchange of gradients among processes, for one stage.

    What exchanges gradients knows the parameters that the model had when it was made: it is made anew for
    each stage, when the stage's estimators have theirs.

    Args:
        idle: some parameters take no part in the stage, and processes do not wait for their gradients.
    """
    assert accelerator.ddp_handler is not None
    accelerator.ddp_handler.find_unused_parameters = idle
    prepared: nn.Module = accelerator.prepare_model(objective)
    return prepared


@functools.cache
def leave_group_at_exit() -> None:
    """Let this process part from the others while Python still runs; call it when training has succeeded.

    A thread of gloo that lets go of a tensor after that aborts the process, and with it a training that
    is done (pytorch/pytorch#179291, #190489). Not after an error: parting may then wait for the others.
    """
    atexit.register(lambda: PartialState().destroy_process_group())


@contextlib.contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Let torch use `count` CPU threads for as long as the block lasts; None: as many as it does."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count or before)
        yield
    finally:
        torch.set_num_threads(before)


def shard_test(loader: Loader, accelerator: Accelerator) -> Loader:
    """A loader of this process's share of the test images: each image in exactly one share."""
    if isinstance(loader, ResidentLoader):
        return _on_device(loader, accelerator)
    if accelerator.num_processes == 1:
        return loader
    return prepare_data_loader(loader, split_batches=True, even_batches=False)


def shard_train(loader: Loader, accelerator: Accelerator) -> TrainingLoader:
    """A loader of this process's share of every batch; all shares together are the recipe's batch."""
    if isinstance(loader, ResidentLoader):
        return _on_device(loader, accelerator)
    return accelerator.prepare_data_loader(loader)


def _on_device(loader: ResidentLoader, accelerator: Accelerator) -> ResidentLoader:
    return loader.on(accelerator.device, accelerator.process_index, accelerator.num_processes)


def _no_precision(config: Engine) -> TrainingError:
    return TrainingError(
        f"this machine does not train in {config.precision}",
        "choose another precision: --set engine.precision=fp32",
    )
