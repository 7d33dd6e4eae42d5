"""Everything that is wrong with a recipe, said at once: one line each, with its file and line."""

from __future__ import annotations

import json
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from binarize.errors import RecipeError, did_you_mean
from binarize.recipe.document import Document, KeyPath, Location, dotted, shortened
from binarize.recipe.schema import Named, section_at

_PLAIN_WORDS = {
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "bool_type": "should be true or false",
    "string_type": "should be text",
    "list_type": "should be a list",
    "dict_type": "should be a mapping of keys",
    "string_too_short": "should not be empty",
    "finite_number": "should be a finite number",
}

SHOWN = 10
"""So many errors are said; who has mended them sees the others, if they are still there."""
LONGEST = 400
"""Letters of one error."""


def problems_of(document: Document, error: ValidationError) -> list[tuple[Location, str]]:
    """Where each thing that pydantic found was written, and what is wrong with it.

    Of more than `SHOWN`, the later ones in the file are counted only: their words would never be seen, and
    the search for what each unknown key may have meant takes its time.
    """
    found = [(document.location(detail["loc"]), detail) for detail in error.errors()]
    found.sort(key=lambda one: one[0])
    described = [(location, _describe(detail)) for location, detail in found[:SHOWN]]
    return described + [(location, "") for location, _ in found[SHOWN:]]


def _describe(detail: Any) -> str:
    path: KeyPath = detail["loc"]
    describe = _unknown_key if detail["type"] == "extra_forbidden" else _bad_value
    return describe(path, detail)


def report(name: str, problems: list[tuple[Location, str]]) -> RecipeError:
    """One RecipeError for all of them, in the order of their lines: the first ten, and how many more."""
    first = sorted(problems, key=lambda problem: problem[0])[:SHOWN]
    lines = [f"  {_one_line(f'{location}: {what}')}" for location, what in first]
    if len(problems) > SHOWN:
        lines.append(f"  and {len(problems) - SHOWN} more")
    count = "an error" if len(problems) == 1 else f"{len(problems)} errors"
    return RecipeError(
        "\n".join([f'recipe "{name}" has {count}:', *lines]),
        "docs/recipes.md describes every key; `binarize recipes show digits` is an example",
    )


def _one_line(text: str) -> str:
    """A key may hold line breaks, and would look like another error."""
    return shortened(text.replace("\n", "\\n"), LONGEST)


def _unknown_key(path: KeyPath, detail: Any) -> str:
    if path == ("extends",):
        return "extends is read from files only"
    section = section_at(path[:-1])
    known = [*section.model_fields] if section else []
    if len(path) == 1:
        known.append("extends")
    where = f" in {dotted(path[:-1])}" if len(path) > 1 else ""
    hint = did_you_mean(str(path[-1]), known) or f"the keys are {', '.join(known)}"
    return f'there is no key "{path[-1]}"{where}; {hint}'


def _bad_value(path: KeyPath, detail: Any) -> str:
    kind, value, where = detail["type"], detail["input"], dotted(path)
    if kind == "missing":
        return f"{where} is missing: {_meaning(path)}"
    if kind == "value_error":
        return f"{where}: {detail['ctx']['error']}"
    if kind == "literal_error":
        return f"{where} should be {_choices(path, value)}, not {_shown(value)}"
    if kind == "model_type":
        return f"{where} should be {_section_kind(path)}, not {_shown(value)}"
    what = _PLAIN_WORDS.get(kind) or detail["msg"].removeprefix("Input ").removeprefix("List ")
    return f"{where} {what}, not {_shown(value)}"


def _meaning(path: KeyPath) -> str:
    section = section_at(path[:-1])
    field = section.model_fields.get(str(path[-1])) if section else None
    return field.description or "" if field else ""


def _choices(path: KeyPath, value: Any) -> str:
    """`one of "channel", "layer", "none"`, and the one that was probably meant."""
    section = section_at(path[:-1])
    assert section is not None
    annotation = section.model_fields[str(path[-1])].annotation
    literals = [part for part in (annotation, *get_args(annotation)) if get_origin(part) is Literal]
    choices = [choice for literal in literals for choice in get_args(literal)]
    listed = f"one of {', '.join(_shown(choice) for choice in choices)}"
    hint = did_you_mean(str(value), [str(choice) for choice in choices])
    return f"{listed} ({hint})" if hint else listed


def _section_kind(path: KeyPath) -> str:
    section = section_at(path)
    named = section is not None and issubclass(section, Named)
    return "a name or a mapping of keys" if named else "a mapping of keys"


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "a mapping of keys" if isinstance(value, dict) else f"a list of {len(value)}"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:37]}…"
