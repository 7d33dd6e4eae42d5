"""The machine, through accelerate: device, precision and processes."""

from __future__ import annotations

import atexit
import contextlib
import functools
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


def wrapped(objective: Objective, idle: bool, accelerator: Accelerator) -> nn.Module:
    """`objective` with autocast and the exchange of gradients among processes, for one stage.

    What exchanges gradients knows the parameters that the model had when it was made: it is made anew for
    each stage, when the stage's estimators have theirs. The wrapper and the optimiser of the stage before
    are let go of; accelerate would divide the gradients of fp16 by the loss scale once for each optimiser.

    Args:
        idle: some parameters take no part in the stage, and processes do not wait for their gradients.
    """
    accelerator.free_memory()
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
