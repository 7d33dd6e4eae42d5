"""Small networks, and images for them, that tests of fitting share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIDE = 8
CLASSES = 4


def images(count: int, seed: int = 0) -> Tensor:
    """[count, 3, SIDE, SIDE]: noise on one of four patterns."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randn(CLASSES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(9))
    which = torch.randint(CLASSES, (count,), generator=generator)
    return patterns[which] + 0.5 * torch.randn(count, 3, SIDE, SIDE, generator=generator)


def network(norm: bool = True, inplace: bool = False, momentum: float = 0.1) -> nn.Module:
    """Two binary convolutions between the first layer and the classifier; the same weights at every call,
    and batch norms that know the images."""
    with torch.random.fork_rng():
        torch.manual_seed(3)

        def norm_of(channels: int) -> nn.Module:
            return nn.BatchNorm2d(channels, momentum=momentum) if norm else nn.Identity()

        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            norm_of(8),
            nn.ReLU(inplace),
            nn.Conv2d(8, 8, 3, padding=1),
            norm_of(8),
            nn.ReLU(inplace),
            nn.Conv2d(8, 8, 3, padding=1),
            norm_of(8),
            nn.ReLU(inplace),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, CLASSES),
        )
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None
        model.train()(images(64, seed=5))
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = momentum
    return model.eval()
