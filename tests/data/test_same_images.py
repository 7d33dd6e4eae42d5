"""The same seed gives the same training images, wherever they are kept and whoever loads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from image_folders import write_images
from PIL import Image

from binarize import data
from binarize.data import transforms
from binarize.recipe import Augment, Data
from binarize.run import Preprocess
from binarize.training.seeding import EpochSeeds

PREPROCESS = Preprocess(
    img_size=20,
    mean=[0.5, 0.4, 0.3],
    std=[0.25, 0.2, 0.3],
    interpolation="bilinear",
    crop_pct=0.9,
)
CHANGES = {
    "crop_padding": {"crop_padding": 3},
    "hflip": {"hflip": 0.5},
    "vflip": {"vflip": 0.5},
    "re_prob": {"re_prob": 0.5},
}
ALL = {name: value for one in CHANGES.values() for name, value in one.items()}
HELD = [(False, 2), (True, 0), (True, 2), ("device", 0)]

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 images of noise, 20 x 20 pixels, in three classes."""
    root = tmp_path_factory.mktemp("same")
    write_noise(root, [(20, 20)] * 36)
    return root


def write_noise(root: Path, sizes: list[tuple[int, int]]) -> None:
    write_images(root / "test")
    draws = np.random.default_rng(0)
    for number, (height, width) in enumerate(sizes):
        path = root / "train" / "abc"[number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = draws.integers(1, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)


def epoch(
    folder: Path,
    augment: dict,
    cache: bool | str,
    workers: int = 0,
    number: int = 1,
    preprocess: Preprocess = PREPROCESS,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels of one epoch, as training seeds it."""
    config = Data(
        name="folder",
        dir=str(folder),
        cache=cache,
        workers=workers,
        batch_size=12,
        augment=augment,
    )
    loader = data.train_loader(config, preprocess)
    EpochSeeds(seed=5, rank=0, loader=loader).start(number)
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


@pytest.mark.parametrize("augment", [{}, *CHANGES.values(), ALL], ids=["none", *CHANGES, "all"])
@pytest.mark.parametrize(("cache", "workers"), HELD)
def test_same_seed_same_images(
    folder: Path, augment: dict, cache: bool | str, workers: int
) -> None:
    images, labels = epoch(folder, augment, False)
    others, other_labels = epoch(folder, augment, cache, workers)
    assert torch.equal(labels, other_labels)
    assert len(images) == 36
    torch.testing.assert_close(others, images, atol=1e-6, rtol=0)


@pytest.mark.parametrize("augment", CHANGES.values(), ids=CHANGES)
def test_each_change_changes_images(folder: Path, augment: dict) -> None:
    plain, changed = epoch(folder, {}, False)[0], epoch(folder, augment, False)[0]
    share = (plain != changed).flatten(1).any(1).float().mean()
    assert 0.2 < share <= 1


@pytest.mark.parametrize("cache", [False, True, "device"])
def test_another_epoch_has_other_images(folder: Path, cache: bool | str) -> None:
    first, second = (epoch(folder, ALL, cache, number=number)[0] for number in (1, 2))
    assert not any(torch.equal(image, other) for image in first for other in second)


@pytest.mark.parametrize("cache", [False, True, "device"])
def test_torchs_seed_alone_is_enough(folder: Path, cache: bool | str) -> None:
    """Without a generator of their own, loaders draw from torch's, and leave it alike."""
    found = []
    for kept in (False, cache):
        config = Data(
            name="folder", dir=str(folder), cache=kept, workers=0, batch_size=12, augment=ALL
        )
        loader = data.train_loader(config, PREPROCESS)
        torch.manual_seed(3)
        images = torch.cat([batch for batch, _ in loader])
        found.append((images, torch.rand(1)))
    torch.testing.assert_close(found[1], found[0], atol=1e-6, rtol=0)


def test_images_of_several_sizes(tmp_path: Path) -> None:
    write_noise(tmp_path, [(24, 20), (20, 31), (40, 40), (17, 50)] * 3)
    first, labels = epoch(tmp_path, ALL, False)
    second, other_labels = epoch(tmp_path, ALL, True, workers=2)
    assert torch.equal(labels, other_labels)
    torch.testing.assert_close(first, second, atol=1e-6, rtol=0)


@pytest.mark.parametrize("cache", [True, "device"])
def test_images_that_are_not_square(tmp_path: Path, cache: bool | str) -> None:
    write_noise(tmp_path, [(14, 26)] * 12)
    oblong = PREPROCESS.replace(img_size=(14, 26))
    first, labels = epoch(tmp_path, ALL, False, preprocess=oblong)
    second, other_labels = epoch(tmp_path, ALL, cache, preprocess=oblong)
    assert first.shape == (12, 3, 14, 26)
    assert torch.equal(labels, other_labels)
    torch.testing.assert_close(first, second, atol=1e-6, rtol=0)


@pytest.mark.parametrize("wanted", [(12, 30), (30, 12)])
def test_a_photograph_is_cut_to_the_shape_and_not_squeezed(
    tmp_path: Path, wanted: tuple[int, int]
) -> None:
    """The left half red, the right half blue: that border stays in the middle, and is vertical."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30, 0], pixels[:, 30:, 2] = 255, 255
    preprocess = PREPROCESS.replace(img_size=wanted, mean=[0.0] * 3, std=[1.0] * 3)
    image = Image.fromarray(pixels)
    seen = transforms.test_transform(preprocess)(image)
    trained = transforms.before_changes(Augment(), preprocess)(image)
    middle = wanted[1] // 2
    for red in (seen[0].numpy() * 255, np.asarray(trained)[..., 0]):
        assert red.shape == wanted
        assert red[:, : middle - 1].min() > 250
        assert red[:, middle + 1 :].max() < 5


def test_flips_beside_what_only_timm_does(folder: Path) -> None:
    """Flips and erasing are drawn as without it: a crop of the whole image leaves nothing else."""
    augment = {"hflip": 0.5, "vflip": 0.5, "re_prob": 0.5}
    whole = {**augment, "scale": [1.0, 1.0], "ratio": [1.0, 1.0]}
    plain, beside = (epoch(folder, each, False)[0] for each in (augment, whole))
    torch.testing.assert_close(beside, plain, atol=1e-6, rtol=0)
