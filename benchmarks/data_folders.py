"""Are folders of images read with the right labels, whatever they look like, or refused in a sentence?

    python benchmarks/data_folders.py [NAME]...

Each case makes a data set on the spot (a layout, a kind of file, an oddity) and opens it as a training does.
Every image is painted in the grey of its class, so that a label is judged by the pixels that come with it. A
case is right where each split has the expected images of each class with the right pixels, or the expected
error, and where what was passed over is said. One JSON line per case is appended to
benchmarks/results/data_folders.jsonl. Ends with 1 where a case is wrong.
"""

from __future__ import annotations

import io
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from result_lines import append

from binarize.data import open_dataset, sources_beside_training
from binarize.errors import BinarizeError
from binarize.progress import Progress
from binarize.recipe import Data

GREYS = {"cat": 40, "dog": 130, "emu": 220}
SIDE = 12
NEAR = 16
"""Grey levels by which a lossy format may miss."""

Counts = dict[str, dict[str, int]]
"""Split -> class -> images."""


@dataclass(frozen=True)
class Case:
    """A data set and what should come of it.

    Attributes:
        make: writes it into an empty folder and returns what `--data-dir` names.
        found: the images of each split, by class; or
        error: words of the error.
        says: words of what is said, each of them.
        options: further keys of the recipe's `data`.
    """

    make: Callable[[Path], Path]
    found: Counts | None = None
    error: str = ""
    says: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


def paint(path: Path, grey: int, **how: Any) -> Path:
    """An image of one grey; `how` is given to Pillow's `save`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (SIDE, SIDE), (grey,) * 3).save(path, **how)
    return path


def classes(
    root: Path, each: int = 4, ending: str = "png", names: Any = GREYS, save: Any = paint
) -> Path:
    """A folder per class with `each` images."""
    for name in names:
        for number in range(each):
            save(root / name / f"{number}.{ending}", GREYS[name])
    return root


def splits(root: Path, *names: str, **how: Any) -> Path:
    """Folders of classes, with 4, 3, 2 images in each class."""
    for each, name in zip((4, 3, 2), names, strict=False):
        classes(root / name, each, **how)
    return root


def count(each: int, names: Any = GREYS) -> dict[str, int]:
    return dict.fromkeys(names, each)


def in_tar(folder: Path, tar: Path, prefix: str = "") -> Path:
    with tarfile.open(tar, "w") as packed:
        packed.add(folder, prefix or ".")
    return tar


def grey_levels(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (SIDE, SIDE), grey).save(path)


def in_mode(mode: str) -> Callable[[Path, int], None]:
    """Saves in another mode of Pillow."""

    def save(path: Path, grey: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIDE, SIDE), (grey,) * 3).convert(
            mode, palette=Image.Palette.ADAPTIVE
        ).save(path)

    return save


def sixteen_bits(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((SIDE, SIDE), grey * 257, np.uint16)).save(path)


def see_through(path: Path, grey: int) -> None:
    """Black, and so transparent that over white it has that grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 255 - grey)).save(path)


def animation(path: Path, grey: int) -> None:
    """The second frame is white."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, second = (Image.new("L", (SIDE, SIDE), level) for level in (grey, 255))
    first.save(path, save_all=True, append_images=[second])


def turned(path: Path, grey: int) -> None:
    """On its side, says EXIF; the lower half of what is seen then is white."""
    pixels = np.full((SIDE, SIDE, 3), 255, np.uint8)
    pixels[:, SIDE // 2 :] = grey  # right half as stored, upper half as seen
    exif = Image.Exif()
    exif[0x0112] = 8
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif, quality=95)


def kinds() -> dict[str, Case]:
    """One folder for each kind of file."""
    saves: dict[str, tuple[str, Any]] = {
        "jpg": ("jpg", paint),
        "JPG": ("JPG", paint),
        "jpeg": ("JPEG", paint),
        "webp": ("webp", paint),
        "bmp": ("bmp", paint),
        "tiff": ("tiff", paint),
        "gif": ("gif", animation),
        "grey": ("png", grey_levels),
        "grey and alpha": ("png", in_mode("LA")),
        "rgba": ("png", see_through),
        "palette": ("png", in_mode("P")),
        "16 bit": ("png", sixteen_bits),
        "16 bit tiff": ("tif", sixteen_bits),
        "cmyk": ("jpg", in_mode("CMYK")),
        "exif": ("jpg", turned),
    }
    found = {"train": count(4), "test": count(3)}

    def case(ending: str, save: Any) -> Case:
        return Case(lambda root: splits(root, "train", "test", ending=ending, save=save), found)

    return {f"kind: {name}": case(*how) for name, how in saves.items()}


def layouts() -> dict[str, Case]:
    """One for each way to lay data out."""
    two, whole = {"train": count(4), "test": count(3)}, {"train": count(3), "holdout": count(1)}

    def tars(root: Path) -> Path:
        splits(root / "loose", "train", "test")
        for name in ("train", "test"):
            in_tar(root / "loose" / name, root / f"{name}.tar")
        return _without(root, "loose")

    return {
        "train, test": Case(lambda root: splits(root, "train", "test"), two),
        "train, val": Case(lambda root: splits(root, "train", "val"), two),
        "training, validation": Case(lambda root: splits(root, "training", "validation"), two),
        "Train, TEST": Case(lambda root: splits(root, "Train", "TEST"), two),
        "train, val, test": Case(
            lambda root: splits(root, "train", "val", "test"),
            {"train": count(4), "holdout": count(3), "test": count(2)},
        ),
        "in a folder": Case(lambda root: splits(root / "archive", "train", "test").parent, two),
        "one, holdout 3": Case(classes, whole, options={"holdout": 3}),
        "one, holdout 0.25": Case(classes, whole, options={"holdout": 0.25}),
        "one, no holdout": Case(classes, error="no images are set aside"),
        "train alone, holdout": Case(
            lambda root: splits(root, "train"), whole, options={"holdout": 3}
        ),
        "tar of splits": Case(
            lambda root: in_tar(splits(root / "x", "train", "val", "test"), root / "x.tar", "data"),
            {"train": count(4), "holdout": count(3), "test": count(2)},
        ),
        "tar of classes": Case(
            lambda root: in_tar(classes(root / "x"), root / "x.tar"), whole, options={"holdout": 3}
        ),
        "tars": Case(tars, two),
        "csv": Case(_csv("path,label"), whole, options={"name": "csv", "holdout": 3}),
        "csv without a header": Case(_csv(""), whole, options={"name": "csv", "holdout": 3}),
        "csv by its ending": Case(_csv("file,class"), whole, options={"holdout": 3}),
        "csv of each split": Case(_two_csvs, two, options={"name": "csv"}),
        "tiny-imagenet": Case(_tiny, {"train": count(4), "test": count(2)}, says=("test (no labels)",)),
    }  # fmt: skip


def oddities() -> dict[str, Case]:
    """One for each thing that is in real folders."""
    two = {"train": count(4), "test": count(3)}

    def with_(change: Callable[[Path], Any], **how: Any) -> Case:
        def make(root: Path) -> Path:
            splits(root, "train", "test")
            change(root / "train")
            return root

        return Case(make, **{"found": two, **how})

    def cut(train: Path) -> None:
        path = paint(train / "cat" / "9.jpg", GREYS["cat"], quality=95)
        path.write_bytes(path.read_bytes()[:-200])

    def twice(root: Path) -> Path:
        with tarfile.open(root / "x.tar", "w") as tar:
            for grey in (0, None):  # unpacked, the later ones lie there
                for name, own in GREYS.items():
                    for number in range(4):
                        packed = io.BytesIO()
                        level = own if grey is None else grey
                        Image.new("L", (SIDE, SIDE), level).save(packed, "png")
                        member = tarfile.TarInfo(f"{name}/{number}.png")
                        member.size = packed.tell()
                        packed.seek(0)
                        tar.addfile(member, packed)
        return root / "x.tar"

    def zipped(root: Path) -> Path:
        with zipfile.ZipFile(root / "x.zip", "w") as packed:
            packed.writestr("cat/0.png", b"")
        return root / "x.zip"

    def squeezed(root: Path) -> Path:
        with tarfile.open(root / "x.tar.gz", "w:gz") as packed:
            packed.add(classes(root / "x"), ".")
        return root / "x.tar.gz"

    def link(train: Path) -> None:
        (train / "cat" / "9.png").symlink_to(train / "cat" / "0.png")
        (train / "fox").symlink_to(train)

    skip = {"on_error": "skip"}
    five_cats = {"train": {**count(4), "cat": 5}, "test": count(3)}
    return {
        "hidden files": with_(
            lambda train: [
                (train / name).write_bytes(b"\0") for name in (".DS_Store", "cat/._0.jpg", "Thumbs.db")
            ],
            says=(".DS_Store", "cat/._0.jpg", "Thumbs.db"),
        ),
        "hidden class": with_(lambda train: paint(train / ".cache" / "0.png", 0), says=(".cache",)),
        "empty class": with_(lambda train: (train / "bee").mkdir(), says=("bee",)),
        "class of texts": with_(
            lambda train: [(train / "ant").mkdir(), (train / "ant" / "a.txt").write_text("a")],
            says=("ant",),
        ),
        "stray image": with_(lambda train: paint(train / "9.png", 0), says=("9.png",)),
        "links": with_(link, found=five_cats, says=("fox",)),
        "a folder that links to itself": Case(
            lambda root: [classes(root / "x"), (root / "x" / "fox").symlink_to(root / "x")] and root,
            {"train": count(3), "holdout": count(1)},
            says=("fox",),
            options={"holdout": 3},
        ),
        "broken link": with_(
            lambda train: (train / "cat" / "9.png").symlink_to("nowhere"), says=("cat/9.png",)
        ),
        "nested classes": with_(
            lambda train: [paint(train / "cat" / name / "0.png", 40) for name in ("big", "small")],
            found=None,
            error="it is not clear which are the classes",
        ),
        "one class": Case(
            lambda root: splits(root, "train", "test", names=["cat"]), error="at least two classes"
        ),
        "no image": Case(lambda root: root, error="holds no images"),
        "nowhere": Case(lambda root: root / "nowhere", error="does not exist"),
        "class in test alone": with_(
            lambda train: paint(train.parent / "test" / "fox" / "0.png", 0),
            found=None,
            error='"fox" is not among them',
        ),
        "class in train alone": with_(
            lambda train: _without(train.parent / "test", "emu"),
            found={"train": count(4), "test": {"cat": 3, "dog": 3}},
            says=("no images of emu",),
        ),
        "cut short": with_(cut, found=None, error="cat/9.jpg ("),
        "cut short, skipped": with_(cut, options=skip, says=("cat/9.jpg",)),
        "no bytes": with_(
            lambda train: (train / "dog" / "9.png").touch(), found=None, error="dog/9.png"
        ),
        "text as png, skipped": with_(
            lambda train: (train / "dog" / "9.png").write_text("dog"), options=skip, says=("dog/9.png",)
        ),
        "a class of damaged images, skipped": with_(
            lambda train: [(train / "ant").mkdir(), (train / "ant" / "0.png").touch()],
            options=skip,
            says=("ant/0.png",),
        ),
        "test without labels": Case(
            lambda root: paint(splits(root, "train", "val") / "test" / "0.png", 0).parents[1],
            two,
            says=("test (no labels)",),
        ),
        "something beside": with_(
            lambda train: paint(train.parent / "extra" / "0.png", 0), says=("extra",)
        ),
        "holdout beside val": Case(
            lambda root: splits(root, "train", "val", "test"),
            error="data.holdout sets training images aside",
            options={"holdout": 3},
        ),
        "names twice in a tar": Case(
            twice,
            {"train": count(3), "holdout": count(1)},
            says=("replaced later",),
            options={"holdout": 3},
        ),
        "zip": Case(zipped, error="is compressed (zip)"),
        "tar.gz": Case(squeezed, error="is compressed (gzip)"),
        "csv of a missing file": Case(
            _csv("path,label", "nowhere.png,cat"),
            error="nowhere.png",
            options={"name": "csv", "holdout": 3},
        ),
        "csv with two labels": Case(
            _csv("path,label", "x/cat/0.png,dog"),
            error="give every image one label",
            options={"name": "csv", "holdout": 3},
        ),
        "csv that repeats itself": Case(
            _csv("path,label", "x/cat/0.png,cat"),
            {"train": count(3), "holdout": count(1)},
            says=("named twice: x/cat/0.png",),
            options={"name": "csv", "holdout": 3},
        ),
        "csv without a label": Case(
            _csv("path,label", "x/cat/9.png,"), error="has no label", options={"name": "csv", "holdout": 3}
        ),
        "csv of other columns": Case(
            _csv("id,width,height", "1,2,3"), error="two columns", options={"name": "csv", "holdout": 3}
        ),
    }  # fmt: skip


def _without(root: Path, name: str) -> Path:
    """Remove a folder of folders of images."""
    for path in sorted((root / name).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (root / name).rmdir()
    return root


def _csv(header: str, *further: str) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        files = sorted(classes(root / "x").rglob("*.png"))
        lines = [f"{file.relative_to(root)},{file.parent.name}" for file in files]
        text = "\n".join([*([header] if header else []), *lines, *further])
        (root / "x.csv").write_text(text + "\n")
        return root / "x.csv"

    return make


def _two_csvs(root: Path) -> Path:
    """train.csv beside train/ and test.csv beside test/, whose images lie in no folders of classes."""
    for name, each in (("train", 4), ("test", 3)):
        lines = ["image,label"]
        for kind, grey in GREYS.items():
            for number in range(each):
                path = paint(root / name / f"{kind}{number}.png", grey)
                lines.append(f"{path.relative_to(root)},{kind}")
        (root / f"{name}.csv").write_text("\n".join(lines))
    return root


def _tiny(root: Path) -> Path:
    """Tiny-ImageNet's: boxes beside images, the labels of val/ in a file, none for test/."""
    lines = []
    for name, grey in GREYS.items():
        for number in range(4):
            paint(root / "train" / name / "images" / f"{name}_{number}.JPEG", grey)
        (root / "train" / name / f"{name}_boxes.txt").write_text("boxes")
        for number in range(2):
            paint(root / "val" / "images" / f"val_{name}_{number}.JPEG", grey)
            lines.append(f"val_{name}_{number}.JPEG\t{name}\t0\t0\t9\t9")
            paint(root / "test" / "images" / f"test_{name}_{number}.JPEG", grey)
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    return root


CASES = {**layouts(), **kinds(), **oddities()}


class Told(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def read(case: Case, root: Path) -> tuple[Counts | None, str, list[str]]:
    """(images of each split by class, error, what was said) of a case that is made in `root`."""
    told = Told()
    options = {"name": "folder", "batch_size": 1, **case.options}
    try:
        config = Data(dir=str(case.make(root)), **options)
        train = open_dataset(config, "train", say=told.say, progress=told)
        found = {"train": _counted(train)}
        own = sources_beside_training(config)
        for split in ("holdout", "test"):
            if split in own or (split == "holdout" and config.holdout):
                images = open_dataset(config, split, train.classes, say=told.say, progress=told)
                found[split] = _counted(images)
    except BinarizeError as error:
        return None, f"{error.message}; {error.hint}", told.said
    return found, "", told.said


def _counted(images: Any) -> dict[str, int]:
    """Images of each class; "?" where the grey is another class's."""
    counted: Counter[str] = Counter()
    for number in range(len(images)):
        image, label = images[number]
        name = images.classes[label]
        seen = np.asarray(image)[: SIDE // 2 - 2]  # the upper half, see `turned`
        right = np.abs(seen.astype(int) - GREYS.get(name, -99)).max() <= NEAR
        counted[name if right else "?"] += 1
    return dict(sorted(counted.items()))


def wrong(case: Case, found: Counts | None, error: str, said: list[str]) -> str:
    """What is wrong, in words; "" where nothing is."""
    if case.error:
        return "" if case.error in error else f"not refused so: {error or found}"
    if error or found != case.found:
        return f"found {error or found}, expected {case.found}"
    missing = [words for words in case.says if not any(words in text for text in said)]
    return f"not said: {missing}, but {said}" if missing else ""


def main(names: list[str]) -> int:
    bad = 0
    for name in names or CASES:
        case = CASES[name]
        with tempfile.TemporaryDirectory() as root:
            found, error, said = read(case, Path(root))
            problem = wrong(case, found, error, said)
            said = [text.replace(root, "DIR") for text in said]
            error = error.replace(root, "DIR")
        append(
            "data_folders",
            {"case": name, "right": not problem, "found": found, "error": error, "said": said},
        )
        print(f"{'wrong' if problem else 'right'}  {name}  {problem}")
        bad += bool(problem)
    print(f"{len(names or CASES) - bad} of {len(names or CASES)} right")
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
