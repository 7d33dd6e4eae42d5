"""The pass over the headers of images: what it finds, what it says, and that it agrees with decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_folders import write_images
from PIL import Image

from binarize.data import check, sample_images
from binarize.data.decode import decode, probe
from binarize.data.files import ImageFiles
from binarize.errors import DataError
from binarize.progress import Progress
from binarize.run import Preprocess

PREPROCESS = Preprocess(
    img_size=8, mean=[0.5] * 3, std=[0.5] * 3, interpolation="bilinear", crop_pct=1.0
)


class Told(Progress):
    def __init__(self) -> None:
        self.tasks: list[tuple[str, int | None]] = []
        self.done: list[int] = []

    def task(self, what: str, total: int | None = None, done: int = 0) -> None:
        self.tasks.append((what, total))

    def update(self, done: int, note: str = "") -> None:
        self.done.append(done)


def noise(path: Path, kind: str) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, kind)
    return path


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_a_file_that_was_cut_short_is_found(tmp_path: Path, kind: str) -> None:
    path = noise(tmp_path / "image", kind)
    with path.open("rb") as file:
        assert probe(file) == (40, 24)
        file.seek(0)
        assert decode(file).size == (24, 40)
    content = path.read_bytes()
    for kept in (0, 10, len(content) // 2, len(content) - 100):
        path.write_bytes(content[:kept])
        with path.open("rb") as file, pytest.raises(ValueError, match=r"\w"):
            probe(file)


def test_an_image_on_its_side_has_the_size_that_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    with (tmp_path / "a.jpg").open("rb") as file:
        assert probe(file) == (30, 20)


def test_what_the_rules_refuse_is_found(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "a.tiff")
    Image.new("L", (1, 300)).save(tmp_path / "b.png")
    for name, words in (("a.tiff", "floats"), ("b.png", "too long")):
        with (tmp_path / name).open("rb") as file, pytest.raises(ValueError, match=words):
            probe(file)


def test_sizes_and_the_first_of_what_is_wrong_are_said(tmp_path: Path) -> None:
    files = ImageFiles(write_images(tmp_path / "a"))
    Image.new("RGB", (20, 30)).save(tmp_path / "a" / "cat" / "0.png")
    files.check("stop")
    assert files.summary.endswith("12 images of 3 classes, 16x16 to 30x20 pixels")
    for number in range(4):
        (tmp_path / "a" / "dog" / f"{number}.png").write_text("no image")
    with pytest.raises(DataError, match=r"4 of 12 images .* dog/2.png \(.*\) and 1 more") as caught:
        files.check("stop")
    assert "--on-error skip" in caught.value.hint
    files.check("skip")
    assert (len(files), files.classes, files.labels) == (8, ["cat", "emu"], [0] * 4 + [1] * 4)
    assert "unreadable: dog/0.png" in files.skipped
    for path in (tmp_path / "a").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="8 of 8 images"):
        files.check("skip")  # nothing is left


def test_damage_behind_a_header_is_found_where_it_is_left_out(tmp_path: Path) -> None:
    """Before the first step, and not in the middle of a training."""
    path = write_images(tmp_path / "a") / "cat" / "0.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    files = ImageFiles(tmp_path / "a")
    files.check("stop")
    with pytest.raises(DataError, match=r'"cat/0\.png" .* cannot be read'):
        files[0]
    files.check("skip")
    assert (len(files), files.name(0)) == (11, "cat/1.png")
    assert "unreadable: cat/0.png" in files.skipped


def test_a_long_pass_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ImageFiles(write_images(tmp_path / "a"))
    told = Told()
    files.check("stop", told)
    assert told.tasks == []
    monkeypatch.setattr(check, "PATIENCE", -1.0)
    files.check("stop", told)
    assert told.tasks == [(f"reading the headers of {tmp_path / 'a'}", 12)]
    assert told.done == list(range(1, 13))


def test_images_to_calibrate_on_are_looked_at_as_well(tmp_path: Path) -> None:
    root = write_images(tmp_path / "a")
    (root / "cat" / "1.png").write_text("no image")
    with pytest.raises(DataError, match="1 of 12 images"):
        sample_images(root, 12, PREPROCESS, progress=Progress())
    assert len(sample_images(root, 12, PREPROCESS, on_error="skip")) == 11
