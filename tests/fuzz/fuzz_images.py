"""Images: what `binarize eval` and a training's loader make of folders and tars with a damaged file in them.

Each case spoils one good image (image_kinds.py) by its structure (image_parts.py), puts it among good ones
and has it read in one of the WAYS: by the command or by a loader, with two workers or none, out of a tar.
"""

from __future__ import annotations

import itertools
import shutil
import struct
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from forks import FINE, REFUSED, UNEXPECTED, Outcome
from fuzzers import Case
from image_kinds import KINDS, content, extension, picture
from image_parts import Part, parts, repaired
from judge import judge
from trained import warm

if TYPE_CHECKING:
    from binarize.run import Preprocess

COUNT, SHORT = 1500, 8
CLASSES = "0123456789"
FILE = Path(__file__).parents[1] / "run" / "v0.1.0" / "trained" / "model.onnx"
ODD = (0, 1, 2, 3, 7, 8, 16, 127, 128, 255, 256, 4095, 0x7FFF, 0x8000, 0xFFFF)
ODD += (0x10000, 13000, 20000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63, 2**64 - 1)


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    data = good(folder)
    warm(["eval", str(data / "model.onnx"), "--data-dir", str(data), "-j", "0"])
    for number, kind in zip(range(count), itertools.cycle(KINDS), strict=False):
        random = np.random.default_rng((seed, number))
        how, spoilt = mutant(content(kind), random)
        name = f"spoilt.{extension(kind)}"
        words = f"{kind}: {how}"
        yield Case(words, lambda work, b=spoilt, n=name, i=number: check(work, data, n, b, i))


def good(folder: Path) -> Path:
    """A folder of test and training images, and the file that names their classes."""
    for split, name in itertools.product(("train", "test"), CLASSES):
        (folder / split / name).mkdir(parents=True)
        picture(seed=int(name)).save(folder / split / name / "good.png")
    shutil.copy(FILE, folder / "model.onnx")
    return folder


def mutant(whole: bytes, random: np.random.Generator) -> tuple[str, bytes]:
    """(how, bytes): the file after one to three changes."""
    hows = []
    for _ in range(random.integers(1, 4)):
        change = CHANGES[random.integers(len(CHANGES))]
        where = parts(whole)
        part = where[random.integers(len(where))] if where else Part(0, 0, len(whole))
        whole = change(whole, part, random)
        hows.append(f"{change.__name__} {part.start}-{part.end}")
    if random.random() < 0.85:
        whole = repaired(whole)
    return ", ".join(hows), whole


def number(whole: bytes, part: Part, random: np.random.Generator) -> bytes:
    """An odd number somewhere at the beginning of the part."""
    size = int(random.choice([1, 2, 4, 4, 8]))
    at = part.start + int(random.integers(0, max(1, min(part.end - part.start, 32))))
    value = int(ODD[random.integers(len(ODD))]) % (1 << 8 * size)
    order = "<>"[random.integers(2)]
    packed = struct.pack(f"{order}{ {1: 'B', 2: 'H', 4: 'I', 8: 'Q'}[size] }", value)
    return whole[:at] + packed + whole[at + size :]


def nudged(whole: bytes, part: Part, random: np.random.Generator) -> bytes:
    """A byte of the part, one more or less or its bits turned."""
    at = int(random.integers(part.start, part.end))
    changed = (whole[at] + int(random.choice([1, -1, 128, 85]))) % 256
    return whole[:at] + bytes([changed]) + whole[at + 1 :]


def noise(whole: bytes, part: Part, random: np.random.Generator) -> bytes:
    """Noise in the place of the content."""
    return whole[: part.body] + random.bytes(max(0, part.end - part.body)) + whole[part.end :]


def without(whole: bytes, part: Part, random: np.random.Generator) -> bytes:
    """The part taken out."""
    return whole[: part.start] + whole[part.end :]


def twice(whole: bytes, part: Part, random: np.random.Generator) -> bytes:
    """The part once more, or many times."""
    times = int(random.choice([1, 1, 3, 1000]))
    return whole[: part.end] + whole[part.start : part.end] * times + whole[part.end :]


def moved(whole: bytes, part: Part, random: np.random.Generator) -> bytes:
    """The part at another's place."""
    rest = without(whole, part, random)
    others = parts(rest)
    at = others[random.integers(len(others))].start if others else 0
    return rest[:at] + whole[part.start : part.end] + rest[at:]


def shorter(whole: bytes, part: Part, random: np.random.Generator) -> bytes:
    """Some bytes of the part missing, whatever it says about its length."""
    cut = int(random.integers(part.start, part.end))
    return whole[:cut] + whole[min(part.end, cut + int(random.integers(1, 64))) :]


def longer(whole: bytes, part: Part, random: np.random.Generator) -> bytes:
    """Some bytes more in the part."""
    at = int(random.integers(part.start, part.end))
    return whole[:at] + random.bytes(int(random.choice([1, 4, 64, 4096]))) + whole[at:]


def truncated(whole: bytes, part: Part, random: np.random.Generator) -> bytes:
    """The file ends in the part."""
    return whole[: int(random.integers(part.start, part.end))]


def grafted(whole: bytes, part: Part, random: np.random.Generator) -> bytes:
    """A part of a file of some other kind in its place."""
    kinds = list(KINDS)
    other = content(kinds[random.integers(len(kinds))])
    there = parts(other)
    graft = there[random.integers(len(there))]
    return whole[: part.start] + other[graft.start : graft.end] + whole[part.end :]


CHANGES = (
    *(number, number, number, number, nudged, nudged, noise, without, twice),
    *(moved, shorter, longer, truncated, grafted),
)


WAYS = (
    lambda work, name: trained(work, name, 0),
    lambda work, name: tested(work, name, 0),
    lambda work, name: tested(packed(work), name, 0),
    lambda work, name: tested(packed(work), name, 2),
    lambda work, name: trained(work, name, 2),
    lambda work, name: evaluated(work, name, 0),
    lambda work, name: evaluated(work, name, 2),
)


def check(work: Path, data: Path, name: str, spoilt: bytes, number: int) -> Outcome:
    """The outcome of one of the ways in which the image is read."""
    shutil.copytree(data, work, dirs_exist_ok=True)
    for split in ("train", "test"):
        (work / split / "3" / name).write_bytes(spoilt)
    return WAYS[number % len(WAYS)](work, name)


def packed(work: Path) -> Path:
    """The test images in a tar."""
    with tarfile.open(work / "test.tar", "w") as tar:
        tar.add(work / "test", "")
    return work


def evaluated(work: Path, name: str, workers: int) -> Outcome:
    """`binarize eval` on the test images."""
    argv = ["eval", str(work / "model.onnx"), "--data-dir", str(work), "-j", str(workers)]
    tar = work / "test.tar"
    outcome = judge(argv, tar if tar.exists() else work / "test" / name, work)
    if outcome.kind == REFUSED and f"3/{name}" not in outcome.words:
        return Outcome(UNEXPECTED, f"image not named\n{outcome.words}")
    return outcome


def trained(work: Path, name: str, workers: int) -> Outcome:
    """A batch of all training images, randomly cropped."""
    from binarize.data import train_loader
    from binarize.recipe import Augment, Data

    size = len(CLASSES) + 1  # what does not fill a batch is left out
    changes = Augment(scale=[0.1, 1.0])
    config = Data(name="folder", dir=str(work), batch_size=size, workers=workers, augment=changes)
    return read(lambda: train_loader(config, preprocess()), name)


def tested(work: Path, name: str, workers: int) -> Outcome:
    """All test images."""
    from binarize.data import test_loader
    from binarize.recipe import Data

    config = Data(name="folder", dir=str(work), batch_size=4, workers=workers)
    return read(lambda: test_loader(config, preprocess()), name)


def preprocess() -> Preprocess:
    from binarize.run import Preprocess

    return Preprocess(
        img_size=16, mean=[0.5] * 3, std=[0.5] * 3, interpolation="bilinear", crop_pct=1.0
    )


def read(loader: Callable[[], Any], name: str) -> Outcome:
    """What comes of asking for all batches."""
    from binarize.errors import DataError

    try:
        for images, _ in loader():
            assert images.isfinite().all()
    except DataError as problem:
        said = str(problem)
        whole = f'"3/{name}"' in said and "\n" not in said and problem.hint
        return Outcome(REFUSED if whole else UNEXPECTED, said)
    return Outcome(FINE)
