"""The one rule by which recipes are put on top of each other, and `--set`.

Mappings merge key by key, deeply; everything else (numbers, words, lists, null) replaces what was
below it. A mapping over a bare name keeps the name: `optimizer: {lr: 0.2}` over `optimizer: sgd` is
`{name: sgd, lr: 0.2}`. Precedence, lowest first: defaults, `extends`, the file, `--set`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from binarize.errors import RecipeError
from binarize.recipe.document import Document, KeyPath, Location, parse
from binarize.recipe.schema import Named, section_at


def merge(base: Document, top: Document) -> Document:
    """`top` put over `base`; every value keeps the location it was written at."""
    data = _merge(base.data, top.data, ())
    locations = {**base.locations, **top.locations}
    present = set(_paths(data, ()))
    kept = {path: location for path, location in locations.items() if path in present}
    return Document(data, kept, base.problems + top.problems)


def assign(document: Document, override: str) -> None:
    """Apply one `key=value` of `--set`; what is wrong with it is added to `document.problems`."""
    location = Location(f"--set {override}")
    dotted, equals, text = override.partition("=")
    words = dotted.strip().split(".")
    if not equals or not all(words):
        document.problems.append((location, "write it as key=value, such as seed=1"))
        return
    try:
        value = parse(text, str(location), lines=False)
        path = _put(document, words, value.data, location)
    except RecipeError as error:
        document.problems.append((location, error.message.removeprefix(f"{location}: ")))
        return
    document.problems += value.problems
    document.locations.update({(*path, *below): location for below in (*value.locations, ())})


def _merge(base: Any, top: Any, path: KeyPath) -> Any:
    if not isinstance(top, dict):
        return top
    base = _as_mapping(base, path)
    if not isinstance(base, dict):
        return top
    merged = dict(base)
    for key, value in top.items():
        merged[key] = _merge(base[key], value, (*path, key)) if key in base else value
    return merged


def _as_mapping(value: Any, path: KeyPath) -> Any:
    """`value`, with a bare name written out where the schema takes one at `path`."""
    section = section_at(path)
    if isinstance(value, str) and section is not None and issubclass(section, Named):
        return {"name": value}
    return value


def _put(document: Document, words: list[str], value: Any, location: Location) -> KeyPath:
    """Merge `value` in at the path of `words`; returns the path with list indices as numbers."""
    node = document.data
    walked: KeyPath = ()
    for word in words[:-1]:
        step = _step(node, word, walked)
        walked = (*walked, step)
        below = _at(node, step)
        if not isinstance(node, list):
            below = _as_mapping(below, walked)
        if not isinstance(below, (dict, list)):
            below = {}
            document.locations[walked] = location
        node[step] = below
        node = below
    last = _step(node, words[-1], walked)
    walked = (*walked, last)
    node[last] = _merge(_at(node, last), value, walked)
    return walked


def _at(node: Any, step: str | int) -> Any:
    """What a mapping or list has there; None where a mapping has nothing."""
    return node[int(step)] if isinstance(node, list) else node.get(step)


def _step(node: Any, word: str, walked: KeyPath) -> str | int:
    """`word` as a key of a mapping, or as an index that this list has."""
    if not isinstance(node, list):
        return word
    if word.isdecimal() and int(word) < len(node):
        return int(word)
    where = ".".join(str(step) for step in walked)
    last = f"0 to {len(node) - 1}" if len(node) > 1 else "0" if node else "none"
    raise RecipeError(f'{where} is a list with the index {last}, not "{word}"')


def _paths(data: Any, path: KeyPath) -> list[KeyPath]:
    below: Iterable[tuple[Any, Any]] = data.items() if isinstance(data, dict) else ()
    if isinstance(data, list):
        below = enumerate(data)
    return [path, *(deep for key, value in below for deep in _paths(value, (*path, key)))]
