"""The recipe reference and the JSON Schema, both made from the schema and from nothing else."""

from __future__ import annotations

import json
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from binarize.recipe import merge
from binarize.recipe.schema import Recipe, Section, section_in

_EXTENDS = "the recipe that this one is put over: a name, or the path of a .yaml file, relative to this one"

_INTRO = """\
# Recipes

<!-- Made from binarize/recipe/schema.py by `make docs`; do not edit. -->

A recipe is a YAML file that says how a network is trained: on which images, in which stages, how it is
binarized. These come with binarize (`binarize recipes ls`); a copy is a good start:

```bash
binarize recipes cp digits mine.yaml
binarize recipes validate mine.yaml --set seed=1
binarize convert cifar_resnet20
binarize train --recipe mine.yaml --set seed=1 --set twin=false --epochs 1 --img-size 8
```

`binarize recipes show digits --resolved` prints a recipe with every default written out. A run holds
that as `recipe.resolved.yaml`, and it can be run again. `binarize recipes schema` prints the JSON Schema;
an editor that knows YAML checks a file against it with this first line:

```yaml
# yaml-language-server: $schema=recipe.schema.json
```

## How a recipe is put together

{rules}

- **A bare name** stands for a section with that name and no more: `estimator: ab-tanh` is
  `estimator: {{name: ab-tanh}}`. This holds for model, estimator, data, optimizer and schedule.
- **`extends`** names the recipe below this one. A word is a recipe of binarize; something with a slash
  or `.yaml` is a path of a `.yaml` file, relative to the file it is written in.
- **`--set key=value`** takes dotted keys with list indices, such as `stages.0.epochs=3`, and values as
  in YAML. It may be given many times; the last one wins.
- **Strict**: an unknown or doubled key, a value of the wrong type, a tag or an anchor is an error. All
  errors of a recipe are shown at once, each with its file and line.
- **Durations, not dates**: a stage says how long it is, in epochs or in steps, and its schedule counts
  from its own start.
"""


def reference_markdown() -> str:
    """The page docs/recipes.md."""
    rules = (merge.__doc__ or "").split("\n\n", 1)[1].strip()
    parts = [_INTRO.format(rules=rules), *_sections(Recipe, "", {})]
    return "\n".join(parts)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a recipe file.

    A file that extends another may leave keys out that the other one has, so nothing is required of it.
    """
    schema = Recipe.model_json_schema()
    required = schema.pop("required")
    for section in schema["$defs"].values():
        section.pop("required", None)
        for choice in section.get("anyOf", ()):
            choice.pop("required", None)
    schema["properties"] = {
        "extends": {"type": "string", "minLength": 1, "description": _EXTENDS},
        **schema["properties"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "if": {"not": {"required": ["extends"]}},
        "then": {"required": required},
    }


def _sections(section: type[Section], path: str, told: dict[type[Section], str]) -> list[str]:
    """The table of a section, then those of the sections inside it. One that was `told` is referred to."""
    if section in told:
        return [f"`{path}` has the keys of `{told[section]}`.", ""]
    told[section] = path
    heading = f"`{path}`" if path else "Keys"
    lines = [f"## {heading}", "", (section.__doc__ or "").strip(), ""]
    lines += ["| key | type | default | unit | meaning |", "|---|---|---|---|---|"]
    if not path:
        lines.append(f"| `extends` | text | none | path | {_EXTENDS} |")
    lines += [_row(name, field) for name, field in section.model_fields.items()]
    lines.append("")
    for name, field in section.model_fields.items():
        inner = section_in(field.annotation)
        if inner is not None:
            index = "[]" if get_origin(field.annotation) is list else ""
            lines += _sections(inner, f"{path}.{name}{index}".lstrip("."), told)
    return lines


def _row(name: str, field: FieldInfo) -> str:
    extra = field.json_schema_extra
    unit = extra.get("unit", "") if isinstance(extra, dict) else ""
    cells = [f"`{name}`", _type(field.annotation, _limits(field)), _default(field), unit]
    return "| " + " | ".join(str(cell) for cell in [*cells, field.description]) + " |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Section):
        return "its defaults"
    if isinstance(value, list) and value and isinstance(value[0], float):
        value = [round(number, 4) for number in value]
    if isinstance(value, str):
        return f"`{value}`" if value else "empty"
    return f"`{json.dumps(value)}`"


_WORDS = {str: "text", int: "whole number", float: "number", bool: "true, false"}


def _type(annotation: Any, limits: str = "") -> str:
    """A type, with its limits, in the words of someone who writes YAML."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inside[0], limits)
    if origin is Literal:
        return ", ".join(f"`{json.dumps(choice)}`".replace('"', "") for choice in inside)
    if origin in (Union, types.UnionType):
        return ", ".join("null" if part is type(None) else _type(part, limits) for part in inside)
    if origin is list:
        return f"list of {_type(inside[0])}"
    if origin is tuple:
        return f"list of {len(inside)} {_type(inside[0])}s"
    if origin is dict:
        return "mapping"
    return _WORDS.get(annotation, "section") + limits


def _limits(field: FieldInfo) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    found = [
        f"{sign} {limit:g}" if limit < 1e6 else f"{sign} 2^{int(limit).bit_length() - 1}"
        for mark in field.metadata
        for name, sign in signs.items()
        if (limit := getattr(mark, name, None)) is not None
    ]
    return f" ({', '.join(found)})" if found else ""
