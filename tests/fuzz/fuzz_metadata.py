"""Metadata of an ONNX file: what a file says of itself, and `eval` and `bench` of it."""

from __future__ import annotations

import random as random_
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import damage
import descriptions
import documents
import onnx
import trained
from forks import Outcome
from fuzzers import Case
from judge import judge_all
from trained import PREFIX, Base

COUNT, SHORT = 500, 4
DAMAGED_SHARE = 0.1


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    outside = folder / "outside" / "weights.pth"
    outside.parent.mkdir()
    outside.write_bytes(b"not for you")
    with trained.quick():
        bases = trained.bases(folder, made=count > SHORT)
        if count > SHORT:
            trained.warm(*_commands(bases[-1].run / "model.onnx"))
        for number in range(count):
            random = random_.Random(f"{seed}-{number}")
            yield _case(random.choices(bases, [1, 3][: len(bases)])[0], random, outside)


def _case(base: Base, random: random_.Random, outside: Path) -> Case:
    how, properties = _spoil(base, random, outside)
    bench = random.random() < 0.3

    def check(work: Path) -> Outcome:
        file = work / "spoilt.onnx"
        file.write_bytes(_file(base, properties))
        return judge_all(_commands(file)[: 1 + bench], file)

    return Case(f"{base.name}, {how}", check)


def file_of(base: Base, described: Any) -> bytes:
    """The ONNX file of a run that says this of itself."""
    return _file(base, _properties(described))


def _commands(file: Path) -> list[list[str]]:
    return [
        ["eval", str(file), "--limit", "8", "-j", "0"],
        ["bench", str(file), "--rounds", "1"],
    ]


def _spoil(base: Base, random: random_.Random, outside: Path) -> tuple[str, dict[str, str]]:
    """What was done, and the properties with it."""
    if random.random() > DAMAGED_SHARE:
        found = descriptions.spoil(base.described, random, outside)
        return str(found), _properties(found.document)
    properties = _properties(base.described)
    key = random.choice(list(properties))
    how, raw = damage.damage(properties[key].encode(), random, damage.TEXT)
    return f"{key}, damaged: {how}", {**properties, key: raw.decode("utf-8", "replace")}


def _properties(described: Any) -> dict[str, str]:
    """As metadata have it: a text for each field."""
    fields = described.items() if isinstance(described, dict) else ()
    # protobuf takes no half letters as they are; JSON may say them
    return {PREFIX + name: documents.json_text(value) for name, value in fields}


def _file(base: Base, properties: dict[str, str]) -> bytes:
    model = onnx.ModelProto()
    model.CopyFrom(base.file)
    del model.metadata_props[:]
    for key, value in properties.items():
        model.metadata_props.add(key=key, value=value)
    return model.SerializeToString()
