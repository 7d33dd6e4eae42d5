"""Labels that are written in a file: a CSV of paths and labels, and Tiny-ImageNet's annotations.

A CSV has a line for each image: its path, as seen from the file's folder, and its class. A first line may
name the columns (`path,label` or other names of `PATHS` and `LABELS`); further columns are not read then.
Without it there are two columns, of which the first is the path.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from binarize.data.listing import ImageFile, Listing
from binarize.errors import DataError

CSV = ".csv"
ANNOTATIONS = "val_annotations.txt"
"""Tiny-ImageNet's: file name, class and box, with tabs between."""
PATHS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "img")
LABELS = ("label", "class", "target", "category", "class_name", "label_name")
HINT = "a line of it is path,label: the path of an image, as seen from the CSV file, and its class"
MOST_BYTES = 1 << 30


def read_csv(path: Path) -> tuple[Listing, list[str]]:
    """The images that a CSV names, in its order, and the class of each.

    Raises DataError where it does not say that, OSError where it cannot be read.
    """
    rows = _rows(path)
    listing, names = Listing(), []
    at, first = _columns(rows, path)
    for column, name in enumerate(rows[0][1]):
        if first and column not in at:
            listing.skipped.add("columns", name)
    seen: dict[str, str] = {}
    for number, row in rows[first:]:
        image, label = (row[column].strip() if column < len(row) else "" for column in at)
        if not image or not label:
            what = "path" if not image else "label"
            raise DataError(f'line {number} of "{path}" has no {what}', HINT)
        if image in seen:
            if seen[image] != label:
                raise DataError(
                    f'line {number} of "{path}" says that "{image}" is "{label}", and an earlier one '
                    f'that it is "{seen[image]}"',
                    "give every image one label",
                )
            listing.skipped.add("named twice", image)
            continue
        seen[image] = label
        listing.files.append(ImageFile(image))
        names.append(label)
    return listing, names


def read_annotations(folder: Path, listing: Listing) -> list[str]:
    """The class of each image of `listing`, which are those of a split of Tiny-ImageNet.

    Images without a line are taken out of `listing`, and so are lines without an image. Raises DataError and
    OSError.
    """
    path = folder / ANNOTATIONS
    classes: dict[str, str] = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        name, *rest = line.split("\t")
        if not line.strip():
            continue
        if not rest or not rest[0].strip():
            raise DataError(f'line {number} of "{path}" has no class', "download it again")
        classes[name] = rest[0].strip()
    files = []
    for file in listing.files:
        if file.path.split("/")[-1] in classes:
            files.append(file)
        else:
            listing.skipped.add(f"not in {ANNOTATIONS}", file.path)
    there = {file.path.split("/")[-1] for file in files}
    for name in classes:
        if name not in there:
            listing.skipped.add(f"only in {ANNOTATIONS}", name)
    listing.files = files
    return [classes[file.path.split("/")[-1]] for file in files]


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """The lines that hold something, with their numbers."""
    try:
        reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DataError(f'"{path}" is not a CSV file: {error}', HINT) from error
    if not rows:
        raise DataError(f'"{path}" is empty', HINT)
    return rows


def _text(path: Path) -> str:
    if not path.is_file():
        raise OSError("it is not a file")
    if path.stat().st_size > MOST_BYTES:
        raise OSError("it is too large to be a list of images")
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f'"{path}" is not a text file in UTF-8', HINT) from error


def _columns(rows: list[tuple[int, list[str]]], path: Path) -> tuple[tuple[int, int], int]:
    """The columns of path and label, and the first row that is an image's."""
    names = [cell.strip().lower() for cell in rows[0][1]]
    found = [
        [column for column, name in enumerate(names) if name in known] for known in (PATHS, LABELS)
    ]
    if all(found):
        if max(map(len, found)) > 1:
            raise DataError(
                f'"{path}" has several columns of paths or labels: {", ".join(names)}',
                "name the others otherwise",
            )
        return (found[0][0], found[1][0]), 1
    wide = next((number for number, row in rows if len(row) != 2), None)
    if wide is not None:
        raise DataError(
            f'line {wide} of "{path}" has not two columns, and its first line does not name them',
            "begin it with a line path,label",
        )
    return (0, 1), 0
