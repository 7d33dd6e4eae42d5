"""Every kind of image to RGB by its rule, and files that cannot be decoded: their name and why."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from image_folders import write_images
from PIL import Image

from binarize import data
from binarize.data import Images, open_dataset, sample_images
from binarize.data.decode import decode
from binarize.data.images import to_rgb
from binarize.errors import DataError
from binarize.recipe import Augment, Data
from binarize.run import Preprocess

PREPROCESS = Preprocess(
    img_size=16, mean=[0.5] * 3, std=[0.5] * 3, interpolation="bilinear", crop_pct=1.0
)
NOISE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(content: bytes) -> np.ndarray:
    image = decode(io.BytesIO(content))
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_16_bits_become_the_upper_8(kind: str) -> None:
    grey = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    grey[0, 1], grey[0, 2] = 0x12FF, 0x1200
    expected = (grey >> 8).astype(np.uint8)
    found = pixels(saved(Image.fromarray(grey), kind))
    assert np.array_equal(found, np.stack([expected] * 3, axis=-1))


@pytest.mark.parametrize("kind", ["float32", "int32"])
def test_no_white_is_made_up(kind: str) -> None:
    image = Image.fromarray(np.linspace(0, 70000, 256).reshape(16, 16).astype(kind))
    with pytest.raises(ValueError, match="what white is"):
        pixels(saved(image, "TIFF"))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_over_white(mode: str) -> None:
    image = Image.new("RGBA", (4, 1), (200, 200, 200, 255))
    image.putpixel((1, 0), (10, 10, 10, 0))
    image.putpixel((2, 0), (0, 0, 0, 128))
    assert pixels(saved(image.convert(mode), "PNG"))[0, :, 0].tolist() == [200, 255, 127, 200]


def test_a_transparent_colour_is_white() -> None:
    grey = Image.fromarray(np.arange(4, dtype=np.uint8)[None])
    assert pixels(saved(grey, "PNG", transparency=2))[0, :, 0].tolist() == [0, 1, 255, 3]
    palette = Image.fromarray(NOISE).quantize(4)
    shown = np.asarray(palette.convert("RGB"))
    found = pixels(saved(palette, "PNG", transparency=0))
    hidden = np.asarray(palette) == 0
    assert (found[hidden] == 255).all()
    assert np.array_equal(found[~hidden], shown[~hidden])


def test_opaque_images_keep_every_bit() -> None:
    image = Image.fromarray(NOISE)
    for mode in ("RGB", "RGBA"):
        assert np.array_equal(pixels(saved(image.convert(mode), "PNG")), NOISE)


def test_a_palette_shows_its_colours() -> None:
    palette = Image.fromarray(NOISE).quantize(16)
    for kind in ("PNG", "GIF", "BMP"):
        found = pixels(saved(palette, kind))
        assert np.array_equal(found, np.asarray(palette.convert("RGB")))


def test_cmyk_by_the_plain_formula() -> None:
    ink = np.random.default_rng(1).integers(0, 256, (4, 4, 4), dtype=np.uint8)
    found = pixels(saved(Image.fromarray(ink, "CMYK"), "TIFF"))
    cyan_to_yellow, black = 255.0 - ink[..., :3], 255.0 - ink[..., 3:]
    assert np.abs(found - cyan_to_yellow * black / 255).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_is_the_same_in_all_channels(mode: str) -> None:
    grey = Image.fromarray(NOISE).convert(mode)
    found = pixels(saved(grey, "PNG"))
    assert np.array_equal(found, np.stack([np.asarray(grey.convert("L"))] * 3, axis=-1))


TURNS = {
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_turns_the_image_once(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(Image.fromarray(NOISE[:10]), "PNG", exif=exif)
    image = decode(io.BytesIO(content))
    assert np.array_equal(np.asarray(image), TURNS[orientation](NOISE[:10]))
    assert np.array_equal(np.asarray(to_rgb(image)), np.asarray(image))


def test_damaged_exif_is_passed_over() -> None:
    content = saved(Image.fromarray(NOISE), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff")
    assert np.array_equal(pixels(content), NOISE)


def test_the_first_frame() -> None:
    frames = [Image.fromarray(NOISE), Image.fromarray(255 - NOISE)]
    for kind in ("PNG", "TIFF"):
        content = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        assert np.array_equal(pixels(content), NOISE)


def unusual() -> Iterator[Image.Image]:
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba = Image.fromarray(np.dstack([NOISE, NOISE[..., :1]]), "RGBA")
    yield rgba
    yield Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257)
    yield Image.fromarray(NOISE).quantize(8)
    yield rgba.convert("LA")


def test_training_testing_and_calibration_see_the_same_pixels(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for number, image in enumerate(unusual()):
                image.save(tmp_path / split / name / f"{number}.png")
    expected = [np.asarray(to_rgb(image)) for image in unusual()] * 2
    for cache in (False, True, "device"):
        config = Data(
            name="folder",
            dir=str(tmp_path),
            cache=cache,
            batch_size=8,
            workers=0,
            augment=Augment(),
        )
        (tests,) = [images for images, _ in data.test_loader(config, PREPROCESS)]
        (trains,) = [images for images, _ in data.train_loader(config, PREPROCESS)]
        found = (tests * 127.5 + 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        assert np.array_equal(found, np.stack(expected))
        sums = [images.sum((1, 2, 3)).sort()[0] for images in (trains, tests)]
        assert torch.allclose(*sums, atol=1e-3)
    calibration = sample_images(tmp_path, 100, PREPROCESS)
    assert torch.allclose(torch.stack([image for image, _ in calibration]), tests, atol=1e-6)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG of that size, and of not one row."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


def cut(kind: str) -> bytes:
    whole = saved(Image.fromarray(np.repeat(NOISE, 8, axis=0)), kind)
    return whole[: len(whole) * 2 // 3]


DAMAGED = {
    "bomb": (png_of_size(20000, 20000), "400000000 pixels"),
    "thread": (png_of_size(60000, 1), "60000 x 1 pixels"),
    "header": (png_of_size(16, 16), "truncated"),
    "text": (b"no image", "none of PNG"),
    "empty": (b"", "none of PNG"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "none of PNG"),
    **{
        kind: (cut(kind), "")
        for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF", "BMP", "PPM")
    },
}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_named_in_one_line(tmp_path: Path, kind: str) -> None:
    content, reason = DAMAGED[kind]
    write_images(tmp_path / "test")
    (tmp_path / "test" / "dog" / "2.png").write_bytes(content)
    start = f'image "dog/2.png" of "{tmp_path / "test"}" cannot be read: '
    workers = [{"workers": 1}] if kind in ("bomb", "AVIF") else []  # a process each takes its time
    for options in ({"cache": True}, {"workers": 0}, *workers):
        with pytest.raises(DataError) as caught:
            list(data.test_loader(Data(name="folder", dir=str(tmp_path), **options), PREPROCESS))
        assert caught.value.message.startswith(start)
        assert reason in caught.value.message.removeprefix(start)
        assert len(caught.value.message.splitlines()) == 1
        assert len(caught.value.message) < len(start) + 200


class _Raises:
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        raise SyntaxError("broken\nfile")


def test_what_a_library_raises_names_the_image() -> None:
    with pytest.raises(DataError, match="image 0 of the data set cannot be read: broken file"):
        Images(_Raises(), ["a", "b"])[0]


def test_a_data_set_ends(tmp_path: Path) -> None:
    write_images(tmp_path / "test")
    images = open_dataset(Data(name="folder", dir=str(tmp_path)), "test")
    assert len(list(images)) == len(list(images.only([1, 2]))) + 10
