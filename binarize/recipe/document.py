"""YAML text to plain data in which every value knows its line.

Plain YAML only: no tags, no anchors, no duplicate keys, keys are words. Scalars follow the YAML 1.2
core rules, so that `1e-4` is a number and `no` is a word (PyYAML's own rules have it the other way
round). Nothing is ever constructed but dict, list, str, int, float, bool and None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yaml.composer import Composer
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from binarize.errors import RecipeError
from binarize.run import layout
from binarize.run.files import read_file

MAX_BYTES = 1 << 18  # PyYAML reads some 50 kB a second, and recipes have a few
MAX_DEPTH = 32

KeyPath = tuple[str | int, ...]
TOO_DEEP = "nested too deeply"

_CORE = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]{1,4000}",  # int() refuses more
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)"
    r"|\.(?:nan|NaN|NAN)",
}
_TAG = "tag:yaml.org,2002:"


class Location(NamedTuple):
    """Where a value was written: a file and its line, or a flag (line 0)."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass
class Document:
    """Plain data, the location of each value in it, and what is wrong with it so far."""

    data: Any
    locations: dict[KeyPath, Location] = field(default_factory=dict)
    problems: list[tuple[Location, str]] = field(default_factory=list)

    def location(self, path: KeyPath) -> Location:
        """Where the value at `path` was written; for a missing one, where its section was."""
        while path and path not in self.locations:
            path = path[:-1]
        return self.locations.get(path, Location("recipe"))


def read(path: Path, label: str) -> Document:
    """The recipe file at `path`; `label` stands for it in messages. Raises RecipeError."""
    if path.is_dir():
        resolved = path / layout.RECIPE
        hint = f'did you mean "{resolved}"?' if resolved.is_file() else "name a .yaml file"
        raise RecipeError(f'recipe "{label}" is a directory', hint)
    try:
        raw = read_file(path, MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RecipeError(f'recipe "{label}" cannot be read: {reason}', LIST_HINT) from error
    if len(raw) > MAX_BYTES:
        raise RecipeError(f'"{label}" is too large to be a recipe', "name a .yaml file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f'"{label}" is not a text file', "name a .yaml file") from error
    return parse(text, label)


LIST_HINT = "`binarize recipes ls` lists the recipes that come with binarize"


def parse(text: str, label: str, *, lines: bool = True) -> Document:
    """The document in `text`. Raises RecipeError where it is not YAML.

    Args:
        text: YAML.
        label: what to call its origin in messages.
        lines: whether line numbers mean something to the reader of the messages.
    """
    document = Document(None)
    try:
        node = _Reader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        location = Location(label, mark.line + 1 if mark and lines else 0)
        what = error.problem or error.context or "unreadable"
        raise RecipeError(f"{location}: this is not valid YAML: {what}", SYNTAX_HINT) from error
    except yaml.YAMLError as error:  # control characters, as in a binary file
        raise RecipeError(f'"{label}" is not a text file', "name a .yaml file") from error
    if node is not None:
        document.data = _value(node, (), document, label, lines)
    return document


SYNTAX_HINT = "see docs/recipes.md, or start from a copy: binarize recipes cp digits"


class _Reader(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML's parts up to the node graph, without its constructors."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self.depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()
        for attribute, what in (("tag", "a tag (!…)"), ("anchor", "an anchor (&… or *…)")):
            if getattr(event, attribute, None) is not None:
                raise _refusal(f"recipes are plain YAML: {what} is not allowed", event.start_mark)
        if self.depth > MAX_DEPTH:
            raise _refusal(TOO_DEEP, event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


for _kind, _pattern in _CORE.items():
    _Reader.add_implicit_resolver(_TAG + _kind, re.compile(f"(?:{_pattern})$"), None)


def _refusal(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _value(node: Node, path: KeyPath, document: Document, label: str, lines: bool) -> Any:
    location = Location(label, node.start_mark.line + 1 if lines else 0)
    document.locations[path] = location
    if isinstance(node, ScalarNode):
        return _scalar(node)
    if isinstance(node, SequenceNode):
        return [
            _value(item, (*path, index), document, label, lines)
            for index, item in enumerate(node.value)
        ]
    assert isinstance(node, MappingNode)
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        here = Location(label, key_node.start_mark.line + 1 if lines else 0)
        if not isinstance(key_node, ScalarNode) or key_node.tag != _TAG + "str":
            document.problems.append((here, "a key must be a word"))
            continue
        key = key_node.value
        place = (*path, key)
        if key in mapping:
            document.problems.append((here, f"{dotted(place)} is written twice"))
        mapping[key] = _value(value_node, place, document, label, lines)
        document.locations[place] = here
    return mapping


def _scalar(node: ScalarNode) -> Any:
    kind = node.tag.removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool":
        return node.value.lower() == "true"
    if kind == "int":
        return int(node.value)
    if kind == "float":
        return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return node.value


def dotted(path: KeyPath) -> str:
    """("stages", 0, "epochs") as stages.0.epochs, the way `--set` takes it."""
    return ".".join(str(step) for step in path)


def shortened(text: str, length: int = 80) -> str:
    """`text`, its middle left out where it is longer: nobody reads a name of 5,000 letters."""
    if len(text) <= length:
        return text
    tail = length // 4
    return f"{text[: length - tail - 1]}…{text[-tail:]}"


class _Writer(yaml.SafeDumper):
    """Quotes what YAML 1.1 or 1.2 readers would take for something else than the text it is."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _kind, _pattern in _CORE.items():
    _Writer.add_implicit_resolver(_TAG + _kind, re.compile(f"(?:{_pattern})$"), None)


def write(data: Any) -> str:
    """Plain data as YAML text that `parse` reads back equal."""
    return yaml.dump(
        data,
        Dumper=_Writer,
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=None,
    )
