"""Small data sets on disk."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog", "emu")


def write_images(
    root: Path, classes: tuple[str, ...] = CLASSES, each: int = 4, side: int = 16, seed: int = 0
) -> Path:
    """`each` images of noise per class folder under `root`; PNG, so that pixels come back as they were."""
    noise = np.random.default_rng(seed)
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(each):
            pixels = noise.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def to_tar(folder: Path) -> Path:
    """Replace a folder by a tar of what is in it."""
    path = folder.with_suffix(".tar")
    with tarfile.open(path, "w") as tar:
        for file in sorted(folder.rglob("*.png")):
            tar.add(file, file.relative_to(folder))
            file.unlink()
    for sub in folder.iterdir():
        sub.rmdir()
    folder.rmdir()
    return path
