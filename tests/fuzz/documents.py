"""Ways to spoil a document of JSON or YAML, at one of its values: structure-aware, whatever it says.

    spoil(document, random, outside)        a `Spoilt` at a random place, in a random way
    paths(document), at(…), changed(…)      places in a document
    json_text(document)                     as a file has it

`outside` is a file of somebody else, which no file may have opened.
"""

from __future__ import annotations

import copy
import json
import random as random_
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judge import MARKUP

Place = tuple[Any, ...]
DELETE = object()
NESTED, UNBALANCED, HUGE = "@nested@", "@unbalanced@", "@huge@"
RAW = {NESTED: "[" * 100_000 + "]" * 100_000, UNBALANCED: "[" * 100_000, HUGE: "9" * 5000}
"""Texts that `json.dumps` cannot write: they are put in the place of these words."""


@dataclass(frozen=True)
class Spoilt:
    """A document, and what was done to it where."""

    where: str
    how: str
    document: Any

    def __str__(self) -> str:
        return f"{self.where}: {self.how}"


def spoil(document: Any, random: random_.Random, outside: Path) -> Spoilt:
    """A copy that is odd at one place."""
    place = random.choice(list(paths(document)))
    how, value = random.choice(list(ways(at(document, place), outside, whole=not place)))
    return spoilt(document, place, value, how)


def spoilt(document: Any, place: Place, value: Any, how: str = "") -> Spoilt:
    """A copy that has `value` at `place`."""
    return Spoilt(
        ".".join(map(str, place)), how or f"= {short(value)}", changed(document, place, value)
    )


def json_text(content: Any) -> str:
    """JSON, with what a program would not write."""
    return raw(json.dumps(content))


def raw(text: str) -> str:
    """JSON or YAML with the words of `RAW` replaced."""
    for word, what in RAW.items():
        text = text.replace(f'"{word}"', what).replace(f"'{word}'", what)
    return text


def paths(node: Any, path: Place = ()) -> Iterator[Place]:
    """Of every value in a document; of a long list, those of its ends."""
    yield path
    if isinstance(node, dict):
        for key, value in node.items():
            yield from paths(value, (*path, key))
    elif isinstance(node, list):
        for index in sorted({0, len(node) - 1} & set(range(len(node)))):
            yield from paths(node[index], (*path, index))


def at(document: Any, path: Place) -> Any:
    for key in path:
        document = document[key]
    return document


def changed(document: Any, path: Place, value: Any) -> Any:
    """A copy with another value at `path`, which may be new; without it for DELETE."""
    if not path:
        return value
    document = copy.deepcopy(document)
    inside = document
    for key in path[:-1]:
        if isinstance(inside, dict) and not isinstance(inside.get(key), (dict, list)):
            inside[key] = {}
        inside = inside[key]
    if value is DELETE:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return document


def ways(old: Any, outside: Path, whole: bool = False) -> Iterator[tuple[str, Any]]:
    """(how, new value) for a value; `whole`: for a whole document."""
    if not whole:
        yield from (("deleted", DELETE), ("null", None), ("a list", []), ("a word", "zzz"))
        yield from (("true", True), ("0", 0), ("-1", -1), ("1", 1), ("0.5", 0.5), ("empty", ""))
        yield from (("65537", 65537), ("2**63", 2**63), ("1e308", 1e308), ("-1e308", -1e308))
        yield from (("NaN", float("nan")), ("inf", float("inf")), ("5000 digits", HUGE))
        yield from (
            ("in a list", [old]),
            ("in a mapping", {"x": old}),
            ("as text", json.dumps(old)),
        )
        yield from (("nested", NESTED), ("unbalanced", UNBALANCED), ("long", "x" * 100_000))
        yield from (
            ("escapes", "\x1b[31mred\x07\x9b2J"),
            ("bidi", "\u202egnp.exe"),
            ("nul", "a\0b"),
        )
        yield from (("half a letter", "\ud800"), ("markup", MARKUP), ("lines", "a\nb\r\nc"))
        yield from (("/etc/passwd", "/etc/passwd"), ("../x", "../../x"), ("a file", str(outside)))
        yield from (
            ("file:", f"file://{outside}"),
            ("hub", "hf-hub:a/b"),
            ("local", "local-dir:/tmp"),
        )
        yield from (("http:", "http://192.0.2.1/x.pth"), ("long list", ["x"] * 20_000))
    yield "a mapping", {}
    if isinstance(old, dict):
        yield from ((f"+ {key}", {**old, key: value}) for key, value in extras(outside).items())
        yield "keys of another type", {str(k) + "\x1b[2J": v for k, v in old.items()}
    if isinstance(old, list) and old:
        yield from (("twice", old * 2), ("2000 times", old * 2000), ("backwards", old[::-1]))
        yield from (("one less", old[:-1]), ("a number more", [*old, 1]))
    if isinstance(old, (int, float)) and not isinstance(old, bool):
        yield from (("negative", -old), ("times 1000", old * 1000), ("a tiny number", 1e-300))
    if isinstance(old, str):
        yield from ((f"+ {end!r}", old + end) for end in (".x", "/", " ", "\x1b[0m", "*"))


def extras(outside: Path) -> dict[str, Any]:
    """Arguments that have a library open, fetch, import or run something."""
    return {
        "checkpoint_path": str(outside),
        "pretrained": True,
        "pretrained_cfg": {"url": "http://192.0.2.1/x.pth", "file": str(outside)},
        "pretrained_cfg_overlay": {"url": "http://192.0.2.1/x.pth", "hf_hub_id": "a/b"},
        "cache_dir": str(outside.parent),
        "weights": "DEFAULT",
        "weights_backbone": "DEFAULT",
        "pretrained_strict": False,
        "features_only": True,
        "scriptable": True,
        "device": "cuda",
        "dtype": "float64",
        "__class__": "os.system",
        "\x1b[31mkey": 1,
    }


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."
