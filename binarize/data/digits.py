"""scikit-learn's handwritten digits: real images that come with a library, so nothing is downloaded.

1797 images of 8x8 pixels in 17 greys (Alpaydin and Kaynak 1998, UCI), shown as 32x32 RGB. 1437 are
for training and 360 for testing; the split is drawn with seed 0 and has the digits in equal shares.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from binarize.data.images import CachedImages

SIDE = 32
TEST_IMAGES = 360
WHITE = 16  # the images' largest grey


def digits(split: str) -> CachedImages:
    """The digits of one split, "train" or "test"."""
    bunch = load_digits()
    parts = train_test_split(
        bunch.images, bunch.target, test_size=TEST_IMAGES, random_state=0, stratify=bunch.target
    )
    images, labels = parts[split == "test" :: 2]
    pixels = torch.from_numpy(np.stack([_enlarge(image) for image in images]))
    return CachedImages(
        pixels[:, None].expand(-1, 3, -1, -1).contiguous(),
        torch.from_numpy(labels.astype(np.int64)),
        [str(name) for name in bunch.target_names],
    )


def _enlarge(image: np.ndarray) -> np.ndarray:
    grey = Image.fromarray((image * (255 / WHITE)).astype(np.uint8))
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
