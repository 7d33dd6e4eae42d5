"""Random numbers of an epoch: a function of seed and epoch, so none need be saved.

Every epoch starts by seeding all generators anew. A run resumed at that epoch draws the numbers that
an uninterrupted one draws, and no generator's state has to go into a checkpoint.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch.utils.data import RandomSampler

from binarize.data.shuffle import Shuffle
from binarize.training.device import TrainingLoader

SHUFFLE = 1 << 16  # a rank that no process has


def seed_of(seed: int, epoch: int, rank: int) -> int:
    """A 32-bit seed that differs wherever one of the three does (numpy's SeedSequence mixes them)."""
    return int(np.random.SeedSequence((seed, epoch, rank)).generate_state(1)[0])


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators, those of the accelerators included."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class EpochSeeds:
    """Seeds the generators at the start of each epoch; the shuffling of `loader` gets one of its own.

    A model and its float baseline see the same images in the same order, changed in the same ways.
    """

    def __init__(self, seed: int, rank: int, loader: TrainingLoader) -> None:
        self._seed, self._rank = seed, rank
        self._shuffle = torch.Generator()
        sampler = _sampler(loader)
        if isinstance(sampler, (Shuffle, RandomSampler)):
            sampler.generator = self._shuffle

    def start(self, epoch: int) -> None:
        """All processes draw the same order of images, crops, flips and erasures, and each its own dropout.

        What timm draws image by image (`scale`, `color_jitter`, `auto_augment`) is each process's own, too.
        """
        self._shuffle.manual_seed(seed_of(self._seed, epoch, SHUFFLE))
        seed_everything(seed_of(self._seed, epoch, self._rank))


def _sampler(loader: TrainingLoader) -> Any:
    """What draws the order of the images: a loader of one process's share has it further inside."""
    batches: Any = getattr(loader, "batch_sampler", None)
    while hasattr(batches, "batch_sampler"):
        batches = batches.batch_sampler
    return getattr(batches, "sampler", loader.sampler)
