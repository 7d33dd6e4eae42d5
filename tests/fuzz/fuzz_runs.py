"""Files of a run and of a sweep: every file that they hold, spoilt, and the commands that read it.

run.json, summary.json, env.json, training.json, compare.json and the records of trials as documents that are
odd at one place; recipe.resolved.yaml; tables, cell by cell; safetensors and the lock as bytes; and all of
them damaged, missing, or something else than a file.
"""

from __future__ import annotations

import json
import os
import random as random_
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import damage
import descriptions
import documents
import trained
import yaml
from forks import Outcome
from fuzzers import Case
from judge import judge
from trained import Base

COUNT, SHORT = 500, 6
READERS = {
    "run.json": ("summary", "eval", "export", "report", "bench", "resume", "train"),
    "summary.json": ("summary", "report", "export"),
    "env.json": ("report",),
    "recipe.resolved.yaml": ("resume", "report", "export", "show"),
    "metrics.csv": ("report", "resume"),
    "indicators.csv": ("report", "resume"),
    "last/training.json": ("resume",),
    "last/training.safetensors": ("resume",),
    "last/model.safetensors": ("eval", "export", "resume", "train"),
    "best/model.safetensors": ("eval best",),
    "initial/model.safetensors": ("resume",),
    "twin/run.json": ("report", "resume", "eval twin"),
    "twin/metrics.csv": ("report",),
    "twin/last/training.json": ("resume",),
    ".lock": ("resume",),
    "README.md": ("report",),
    "compare.json": ("compare",),
    "cells/ste-seed0.json": ("compare",),
    "cells/ste-seed0/run.json": ("compare",),
    "cells/ste-seed0/metrics.csv": ("compare",),
}
"""A file, and the commands that read it: "resume" an unfinished run, "compare" a sweep, the others a
finished run."""
WEIGHTS = [40, *[8] * (len(READERS) - 1)]
ODD_CELLS = [
    *(
        "",
        "x",
        "nan",
        "inf",
        "-inf",
        "1e308",
        "-1e308",
        "0",
        "-1",
        "1.5",
        "9" * 5000,
        "1e-320",
        "2",
    ),
    *(
        '"',
        '""',
        "a\0b",
        "\x1b[2J",
        "<script>alert(1)</script>",
        "٣",
        "1_000",
        " 1 ",
        "0x10",
        "\ud800",
    ),
]


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    outside = folder / "outside" / "weights.pth"
    outside.parent.mkdir()
    outside.write_bytes(b"not for you")
    with trained.quick():
        bases = trained.bases(folder, made=count > SHORT)
        if count > SHORT:
            _warm(folder / "warm", bases[-1])
        for number in range(count):
            random = random_.Random(f"{seed}-{number}")
            yield _case(random.choices(bases, [1, 3][: len(bases)])[0], random, outside)


def _warm(folder: Path, base: Base) -> None:
    """What every fork would do again, and the graphs of the good runs."""
    for name, command in _commands(folder).items():
        _lay_out(name, folder, base)
        trained.warm(command)


def _case(base: Base, random: random_.Random, outside: Path) -> Case:
    """A spoilt file of `base`, and one of its readers."""
    name = random.choices(list(READERS), WEIGHTS)[0]
    reader = random.choice(READERS[name])
    spoilt = _spoil(name, base, random, outside)

    def check(work: Path) -> Outcome:
        place = _lay_out(reader, work, base)
        spoilt.write(place / name)
        with trained.short():
            return judge(_commands(work)[reader], place / name, work, named=False)

    return Case(f"{base.name}, {name}, {spoilt.how} ({reader})", check)


def _commands(work: Path) -> dict[str, list[str]]:
    run = str(work / "run")
    few = ["--limit", "8", "-j", "0"]
    return {
        "summary": ["summary", run],
        "eval": ["eval", run, *few],
        "eval best": ["eval", f"{run}/best", *few],
        "eval twin": ["eval", f"{run}/twin", *few],
        "export": ["export", run, "--onnx", str(work / "out.onnx")],
        "report": ["report", run, "--json"],
        "bench": ["bench", run, "--rounds", "1"],
        "show": ["recipes", "show", f"{run}/recipe.resolved.yaml", "--resolved"],
        "resume": ["train", "--resume", run],
        "train": ["train", run, "--recipe", str(work / "digits.yaml"), "-o", str(work / "new")],
        "compare": ["compare", "-o", run],
    }


def _lay_out(reader: str, work: Path, base: Base) -> Path:
    """A good run, or a good sweep, for a reader, at `work`/run."""
    place = work / "run"
    shutil.rmtree(place, ignore_errors=True)
    for left in (work / "out.onnx", work / "new"):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    recipe = "data: {name: digits, img_size: 16, workers: 0}\nstages: [{steps: 1, optimizer: {lr: 0.1}}]\n"
    work.mkdir(parents=True, exist_ok=True)
    (work / "digits.yaml").write_text(recipe)
    if reader != "compare":
        shutil.copytree(base.unfinished if reader == "resume" else base.run, place)
        if reader == "eval twin" and not (place / "twin").exists():
            shutil.copytree(base.run, place / "twin")
        return place
    shutil.copytree(base.run, place / "cells" / "ste-seed0")
    for file, content in _sweep(base).items():
        (place / file).write_text(json.dumps(content))
    return place


def _sweep(base: Base) -> dict[str, Any]:
    """The manifest and the record of a sweep with one trial."""
    recipe = yaml.safe_load((base.run / "recipe.resolved.yaml").read_text())
    for stage in recipe["stages"]:
        stage["optimizer"]["weight_decay"] = 0.0001
    manifest = {
        **{"recipe": "digits", "contents": recipe, "changes": ["seed=1"], "target": None},
        **{"arms": ["ste"], "seeds": 1, "created": 1.0, "format": 1},
    }
    result = {
        **{"run": "cells/ste-seed0", "epochs": 4, "top1": 50.0, "top5": 90.0},
        **{"top1_best": 51.0, "epoch_best": 3, "seconds": 9.5},
    }
    record = {"arm": "ste", "seed": 0, "result": result, "error": None, "hint": ""}
    return {"compare.json": manifest, "cells/ste-seed0.json": record}


@dataclass(frozen=True)
class Content:
    """What becomes of a file: other bytes, or something else than a file."""

    how: str
    raw: bytes = b""

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.how in THINGS:
            path.unlink(missing_ok=True)
            THINGS[self.how](path)
            return
        path.write_bytes(self.raw)
        scalars = path.with_name("training.json")
        if path.suffix == ".safetensors" and scalars.is_file():  # as if it had been written so
            stored = json.loads(scalars.read_text())
            stored["files"][path.name] = {"bytes": len(self.raw), "crc32": zlib.crc32(self.raw)}
            scalars.write_text(json.dumps(stored))


def _huge(path: Path) -> None:
    """A terabyte of nothing."""
    with path.open("wb") as file:
        file.truncate(1 << 40)


THINGS: dict[str, Any] = {
    "a directory": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "missing": lambda path: None,
    "a terabyte": _huge,
}


def _spoil(name: str, base: Base, random: random_.Random, outside: Path) -> Content:
    if random.random() < 0.08:
        return Content(random.choice(list(THINGS)))
    raw = _good(name, base)
    text = not name.endswith("safetensors")
    if random.random() < 0.2:
        how, spoilt = damage.damage(raw, random, damage.TEXT if text else damage.ANY)
        return Content(f"damaged: {how}", spoilt)
    if name.endswith("run.json"):
        found = descriptions.spoil(json.loads(raw), random, outside)
        return Content(str(found), documents.json_text(found.document).encode())
    if name.endswith("json"):
        found = documents.spoil(json.loads(raw), random, outside)
        return Content(str(found), documents.json_text(found.document).encode())
    if name.endswith("yaml"):
        found = documents.spoil(yaml.safe_load(raw), random, outside)
        return Content(str(found), documents.json_text(found.document).encode())
    if name.endswith("csv"):
        return _table(raw, random)
    how, spoilt = damage.damage(raw, random, damage.TEXT if text else damage.ANY)
    return Content(f"damaged: {how}", spoilt)


def _good(name: str, base: Base) -> bytes:
    """The bytes of the file as they should be."""
    made = _sweep(base).get(name)
    if made is not None:
        return json.dumps(made).encode()
    inner = name.removeprefix("cells/ste-seed0/")
    for place in (base.unfinished, base.run):
        if (place / inner).is_file():
            return (place / inner).read_bytes()
    kind = inner.removeprefix("twin/").removeprefix("initial/")
    for path in (base.unfinished / kind, base.unfinished / "last" / kind):
        if path.is_file():
            return path.read_bytes()
    return b"<!-- written by binarize -->\n" if inner == "README.md" else b"process 1\n"


def _table(raw: bytes, random: random_.Random) -> Content:
    """Odd cells, columns or lines."""
    rows = [line.split(",") for line in raw.decode().splitlines()]
    how = random.choice(
        ["cells", "a column", "no column", "a header", "no header", "more lines", "wide"]
    )
    column = random.randrange(len(rows[0]))
    if how == "cells":
        for _ in range(random.randint(1, 3)):
            random.choice(rows[1:])[column] = random.choice(ODD_CELLS)
    elif how == "a column":
        odd = random.choice(ODD_CELLS)
        rows = [rows[0], *([*row[:column], odd, *row[column + 1 :]] for row in rows[1:])]
    elif how == "no column":
        rows = [row[:column] + row[column + 1 :] for row in rows]
    elif how == "a header":
        rows[0][column] = random.choice([*ODD_CELLS, *rows[0]])
    elif how == "no header":
        rows = rows[1:]
    elif how == "more lines":
        rows += rows[1:] * random.choice([1, 5000])
    else:
        rows = [row * 200 for row in rows]
    text = "\n".join(map(",".join, rows)) + "\n"
    return Content(
        f"{how}, {rows[0][column % len(rows[0])]}"[:200], text.encode("utf-8", "surrogatepass")
    )
