"""A network and a loop of one's own, in plain PyTorch: handwritten digits, half a minute on a CPU.

    python examples/plain_pytorch.py

Three lines are binarize's: `convert`, `Schedule` with its `step`, and `export`.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import binarize


def network() -> nn.Module:
    """Four convolutions. The first and the classifier stay float, the others become 1-bit."""

    def block(before: int, after: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(after), nn.ReLU()]

    return nn.Sequential(
        *block(3, 16, 1),
        *block(16, 32, 2),
        *block(32, 32, 1),
        *block(32, 64, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def digits() -> tuple[Tensor, Tensor]:
    """float32[1797, 3, 8, 8] in [-1, 1], and their labels."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 8 - 1
    return images.expand(-1, 3, -1, -1), torch.tensor(data.target)


def main(epochs: int = 10, batch: int = 64, file: str = "digits.onnx") -> float:
    """Train, save and export; returns top-1 in per cent on the last 297 images."""
    torch.manual_seed(0)
    images, labels = digits()
    train, test = slice(0, 1500), slice(1500, None)

    model = binarize.convert(
        network(), img_size=8, preprocess={"mean": [0.5] * 3, "std": [0.5] * 3}
    )
    steps = epochs * (1500 // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    schedule = binarize.Schedule(model, steps)  # the estimators go from wide to steep

    for _ in range(epochs):
        model.train()
        for chosen in torch.randperm(1500)[: 1500 // batch * batch].split(batch):
            loss = F.cross_entropy(model(images[train][chosen]), labels[train][chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cosine.step()
            schedule.step()
        checkpoint = {"model": model.state_dict(), "schedule": schedule.state_dict()}
        torch.save(checkpoint, "digits.pt")

    model.eval()
    with torch.inference_mode():
        top1 = 100 * (model(images[test]).argmax(1) == labels[test]).float().mean().item()
    written = binarize.export(model, file, with_preprocess=True)
    print(f"top-1 {top1:.2f} %, {written.onnx}: {written.bytes:,} bytes")
    return top1


if __name__ == "__main__":
    main()
