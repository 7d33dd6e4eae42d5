"""From a name or a file to a checked recipe, and back to text."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from binarize.errors import RecipeError, did_you_mean
from binarize.recipe.document import (
    LIST_HINT,
    MAX_DEPTH,
    TOO_DEEP,
    Document,
    KeyPath,
    Location,
    dotted,
    read,
    shortened,
    write,
)
from binarize.recipe.merge import assign, merge
from binarize.recipe.report import problems_of, report
from binarize.recipe.schema import Recipe, Section

_SUFFIXES = (".yaml", ".yml")

Check = Callable[[Recipe], Iterable[tuple[KeyPath, str]]]


def load(
    recipe: str | Path | Mapping[str, Any],
    overrides: Iterable[str] = (),
    check: Check | None = None,
) -> Recipe:
    """The recipe called `recipe`, with the `key=value` overrides of `--set` applied, checked.

    Args:
        recipe: the name of a shipped recipe, the path of a YAML file, or the contents as a mapping.
        overrides: "stages.0.epochs=3": dotted keys, list indices as numbers, values as in YAML.
        check: finds what the schema cannot know (such as names of estimators, which need torch):
            yields the key path and what is wrong there, and is reported with file and line.

    Raises RecipeError; where the recipe can be read at all, one error lists everything that is wrong.
    """
    document, name = _document(recipe)
    for override in overrides:
        assign(document, override)
    problems = document.problems
    try:
        checked = Recipe.model_validate(document.data)
    except ValidationError as error:
        raise report(name, problems + problems_of(document, error)) from None
    for path, what in check(checked) if check else ():
        problems.append((document.location(path), f"{dotted(path)}: {what}"))
    if problems:
        raise report(name, problems)
    return checked


def dump(recipe: Recipe) -> str:
    """The recipe as YAML with every default written out: `load` gives the same recipe again."""
    return write(as_data(recipe))


def as_data(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data, every default written out but for keys that default to null."""
    return _plain(recipe)


def shipped() -> list[str]:
    """The names of the recipes that come with binarize."""
    return sorted(path.stem for path in _shelf().glob("*.yaml"))


def shipped_path(name: str) -> Path:
    """The file of a shipped recipe. Raises RecipeError for a name that is not one."""
    if name not in shipped():
        hint = did_you_mean(name, shipped()) or f"the recipes are {', '.join(shipped())}"
        raise RecipeError(f'there is no recipe "{name}"', hint)
    return _shelf() / f"{name}.yaml"


def find(name: str | Path, beside: Path | None = None) -> tuple[Path, str]:
    """The file that `name` means, and what to call it in messages.

    A word without suffix and slash is a shipped recipe; anything else is a path, relative to the
    current directory or, in `extends`, to the file that it is written in (`beside`).
    """
    try:
        return _find(name, beside.parent if beside else Path())
    except (OSError, RuntimeError, ValueError) as error:
        # A name that is too long, in a folder that may not be read, or in an unknown user's home.
        shown = shortened(str(name))
        raise RecipeError(f'there is no recipe file "{shown}"', LIST_HINT) from error


def _find(name: str | Path, here: Path) -> tuple[Path, str]:
    path = here / Path(name).expanduser()
    if isinstance(name, str) and "/" not in name and not name.endswith(_SUFFIXES):
        if name in shipped() or not path.exists():
            return _shipped_or_hint(name, here), f"{name}.yaml"
    elif not path.exists():
        raise RecipeError(f'there is no recipe file "{path}"', LIST_HINT)
    return path, str(path)


def _shipped_or_hint(name: str, here: Path) -> Path:
    """`shipped_path`, which also thinks of a file whose suffix was forgotten."""
    for suffix in _SUFFIXES:
        if name not in shipped() and (here / f"{name}{suffix}").is_file():
            raise RecipeError(f'there is no recipe "{name}"', f'did you mean "{name}{suffix}"?')
    return shipped_path(name)


def _shelf() -> Path:
    """Where the shipped recipes lie: inside an installed package, or at the top of a checkout."""
    packaged = Path(__file__).parent / "recipes"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "recipes"


def _document(recipe: str | Path | Mapping[str, Any]) -> tuple[Document, str]:
    if isinstance(recipe, Mapping):
        _check_depth(recipe)
        data = copy.deepcopy(dict(recipe))
        return Document(data, {(): Location("recipe")}), "recipe"
    path, label = find(recipe)
    return _with_bases(_read(path, label), path, ()), str(recipe)


def _check_depth(data: Any) -> None:
    """Raises RecipeError for data that go deeper than a file may."""
    level = [data]
    for _ in range(MAX_DEPTH + 1):
        level = [item for value in level for item in _items(value)]
        if not level:
            return
    raise RecipeError(f"the recipe is {TOO_DEEP}", f"it may have {MAX_DEPTH} levels")


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()


def _read(path: Path, label: str) -> Document:
    """The file alone. Raises RecipeError where it is no mapping of keys."""
    document = read(path, label)
    if not isinstance(document.data, dict):
        what = "is empty" if document.data is None else "is not a mapping of keys"
        raise RecipeError(
            f'recipe "{label}" {what}', "start from a copy: binarize recipes cp digits"
        )
    return document


def _with_bases(document: Document, path: Path, chain: tuple[Path, ...]) -> Document:
    """The file and, under it, what it extends, and so on; `chain` is what led here."""
    chain = (*chain, path.resolve())
    if "extends" not in document.data:
        return document
    location = document.location(("extends",))
    wanted = document.data.pop("extends")
    if not isinstance(wanted, str) or not wanted:
        document.problems.append((location, "extends should be one recipe: a name or a path"))
        return document
    try:
        base, base_label = find(wanted, beside=path)
    except RecipeError as error:
        raise RecipeError(f"{location}: extends: {error.message}", error.hint) from error
    if not base.name.endswith(_SUFFIXES):  # a recipe of somebody else's opens nothing but recipes
        raise RecipeError(
            f'{location}: extends: "{base_label}" is not a .yaml file',
            f"rename it to {base.name}.yaml",
        )
    if len(chain) > MAX_DEPTH:
        raise RecipeError(f"{location}: too many recipes extend each other", "write them into one")
    if base.resolve() in chain:
        loop = " extends ".join(step.name for step in (*chain, base))
        raise RecipeError(f"{location}: recipes extend each other in a circle: {loop}", "break it")
    if not base.is_file() and not base.is_dir():  # a pipe might never say anything
        raise RecipeError(f'{location}: extends: "{base_label}" is not an ordinary file', LIST_HINT)
    try:
        below = _read(base, base_label)
    except RecipeError as error:
        raise RecipeError(f"{location}: extends: {error.message}", error.hint) from error
    return merge(_with_bases(below, base, chain), document)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, Section):
        return value
    fields = type(value).model_fields
    return {
        name: _plain(item)
        for name, item in value
        if item is not None or name not in fields or fields[name].default is not None
    }
