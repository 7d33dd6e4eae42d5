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

COUNT, SHORT = 500, 20


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    outside = folder / "outside" / "weights.pth"
    outside.parent.mkdir()
    outside.write_bytes(b"not for you")
    with trained.quick(folder):
        bases = trained.bases(folder, made=count > SHORT)
        if count > SHORT:
            trained.warm(*_commands(bases[-1].run / "model.onnx"))
        for number in range(count):
            random = random_.Random(f"{seed}-{number}")
            yield _case(random.choices(bases, [1, 3][: len(bases)])[0], random, outside)


def _case(base: Base, random: random_.Random, outside: Path) -> Case:
    how, properties = _spoil(base, random, outside)

    def check(work: Path) -> Outcome:
        file = work / "spoilt.onnx"
        file.write_bytes(_file(base, properties))
        return judge_all(_commands(file), file)

    return Case(f"{base.name}, {how}", check)


def _commands(file: Path) -> list[list[str]]:
    return [
        ["eval", str(file), "--limit", "8", "-j", "0"],
        ["bench", str(file), "--rounds", "1"],
    ]


def _spoil(base: Base, random: random_.Random, outside: Path) -> tuple[str, dict[str, bytes]]:
    """What was done, and the properties with it."""
    described: Any = base.described
    found = documents.Spoilt("", "", described)
    key = None
    if random.random() < 0.1:
        key = random.choice(list(described))
    else:
        found = descriptions.spoil(described, random, outside)
    document = found.document if isinstance(found.document, dict) else {}
    properties = {
        PREFIX + name: documents.json_text(value).encode("utf-8", "replace")
        for name, value in document.items()
    }
    if key is None:
        return str(found), properties
    how, raw = damage.damage(properties[PREFIX + key], random, damage.TEXT)
    text = raw.decode("utf-8", "replace").encode()  # protobuf takes no other text
    return f"{key}, damaged: {how}", {**properties, PREFIX + key: text}


def _file(base: Base, properties: dict[str, bytes]) -> bytes:
    model = onnx.ModelProto()
    model.CopyFrom(base.file)
    del model.metadata_props[:]
    for key, value in properties.items():
        model.metadata_props.add(key=key, value=value.decode())
    return model.SerializeToString()
