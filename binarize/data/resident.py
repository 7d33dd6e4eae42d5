"""Images that live on the training device: decoded once, then shuffled, augmented and batched there.

`ResidentLoader` stands where a DataLoader would. It needs no worker and copies nothing to the device but
the order of the images, once an epoch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset, SequentialSampler

from binarize.data.changes import BatchChanges
from binarize.data.images import CachedImages
from binarize.data.shuffle import Shuffle
from binarize.errors import DataError

AHEAD = 64  # batches whose changes are drawn together: one copy to the device for all of them


class ResidentImages(Dataset[tuple[Tensor, int]]):
    """Decoded images of one size in a black frame.

    Attributes:
        pixels: uint8 [N, H + 2 * padding, W + 2 * padding, 3]
        labels: int64 [N]
        classes: names in the order of the labels
    """

    def __init__(self, images: CachedImages, padding: int = 0) -> None:
        frame = (0, 0, padding, padding, padding, padding)
        self.pixels = F.pad(images.pixels.permute(0, 2, 3, 1).contiguous(), frame)
        self.labels = images.labels
        self.classes = images.classes

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """One image as it lies there, in its frame, and its label."""
        return self.pixels[index], int(self.labels[index])

    def to(self, device: torch.device) -> None:
        """Move there. Raises DataError where there is too little memory."""
        try:
            self.pixels, self.labels = self.pixels.to(device), self.labels.to(device)
        except torch.OutOfMemoryError as error:
            raise DataError(
                f"the {len(self)} images take {self.pixels.numel() / 1e9:.1f} GB, and the device has less",
                "keep them in main memory: --set data.cache=true",
            ) from error


class ResidentLoader:
    """Batches of resident images: float32 [B, 3, H, W], channels last, and int64 labels.

    In training, `sampler` draws the order and the seed of all random changes of a pass. The same generator
    in every process thus gives every process the same batches, of which each makes its own share.

    Args:
        changes: what becomes of the images of a batch.
        training: shuffled, and a last batch that is not full is left out.
    """

    def __init__(
        self, images: ResidentImages, changes: BatchChanges, batch_size: int, training: bool
    ) -> None:
        self.dataset, self.changes = images, changes
        self.batch_size, self.drop_last = batch_size, training
        self.sampler = Shuffle(len(images)) if training else SequentialSampler(images)
        self.process, self.processes = 0, 1

    def on(self, device: torch.device, process: int = 0, processes: int = 1) -> ResidentLoader:
        """Itself, its images moved to `device`: from now on it makes one process's share of each batch."""
        self.dataset.to(device)
        self.changes.to(device)
        self.process, self.processes = process, processes
        return self

    def __len__(self) -> int:
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + bool(rest and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        device = self.dataset.pixels.device
        torch.empty((), dtype=torch.int64).random_()  # a DataLoader takes its workers' seed here
        for index, table in self._batches(device):
            with _one_thread(device):
                batch = self._share(index, table)
            if batch is not None:
                yield batch

    def end(self) -> None:
        """What accelerate's loaders have, for those that stop before the last batch; nothing to do here."""

    def _batches(self, device: torch.device) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The indices of each whole batch, and their columns of `BatchChanges.table`."""
        order, seed = self._order()
        for block in order.split(AHEAD * self.batch_size):
            table = self.changes.table(seed, block.numpy())
            index, table = _sent(block, device), None if table is None else _sent(table, device)
            for start in range(0, len(block), self.batch_size):
                batch = slice(start, start + self.batch_size)
                yield index[batch], None if table is None else table[:, batch]

    def _order(self) -> tuple[Tensor, int]:
        """The indices of all images in the batches of a pass, and the seed of their changes."""
        if not isinstance(self.sampler, Shuffle):
            return torch.arange(len(self.dataset)), 0
        order, seed = self.sampler.draw()
        return order[: len(self) * self.batch_size], seed

    def _share(self, index: Tensor, table: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """This process's part of the batch of these indices; None where it is empty."""
        share = self.batch_size // self.processes
        own = slice(self.process * share, (self.process + 1) * share)
        index = index[own]
        if not len(index):
            return None
        table = None if table is None else table[:, own]
        return self.changes(self.dataset.pixels, index, table), self.dataset.labels[index]


def _sent(values: Tensor, device: torch.device) -> Tensor:
    """`values` on `device`. A GPU copies pinned memory in its turn, and any other while the host waits."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


@contextlib.contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """On the CPU, one thread: a batch of small images is too little to share, and to wait for threads
    that other programs keep busy takes many times longer than the work."""
    before = torch.get_num_threads()
    if device.type != "cpu" or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
