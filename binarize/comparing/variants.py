"""The variants of a comparison: what is put in the place of the recipe's `binarize` section, by name.

    ab-tanh                    the estimator of that name, everything else as in the recipe
    ste:standardise=false      and other keys of the `binarize` section
    ab-tanh:k_end=7;scale=layer    or constants of the estimator, several joined by ";"
    ab-tanh:stages.0.optimizer.lr=0.05    or any key of the recipe, written with its dots
    float                      the recipe with nothing binarized

A variant that names the recipe's own estimator keeps the constants which the recipe gives it; with another
one, those of the source count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from binarize import estimators
from binarize.errors import BinarizeError, EstimatorError, RecipeError, did_you_mean
from binarize.recipe import Binarize, Recipe, load

FLOAT = "float"


@dataclass(frozen=True)
class Variant:
    """One way to binarize, or none.

    Attributes:
        name: as it was typed, without blanks.
        estimator: a name of `estimators.TABLE`, or "float".
        changes: (key, value) as typed after the colon.
    """

    name: str
    estimator: str
    changes: tuple[tuple[str, str], ...] = ()

    @property
    def is_float(self) -> bool:
        return self.estimator == FLOAT

    @property
    def slug(self) -> str:
        """The name with everything replaced that a directory's name should not hold."""
        return re.sub(r"[^A-Za-z0-9._=+-]+", "-", self.name).strip("-")

    def overrides(self, base: Recipe) -> list[str]:
        """What `--set` would be given to turn the recipe `base` into this variant."""
        return _without_binarization(base) if self.is_float else self._binarized(base)

    def _binarized(self, base: Recipe) -> list[str]:
        own = base.binarize is not None and base.binarize.estimator.name == self.estimator
        named = [] if own else [f"binarize.estimator={self.estimator}"]
        return [*named, *(f"{self._path(key)}={value}" for key, value in self.changes)]

    def _path(self, key: str) -> str:
        if "." in key:
            return key
        return (
            f"binarize.estimator.{key}" if key in _constants(self.estimator) else f"binarize.{key}"
        )


def parse_variants(text: str | Sequence[str]) -> list[Variant]:
    """The variants of "a,b:key=value,…", or of such texts, each once, in order.

    Raises EstimatorError for a name that is no estimator and a key that a variant does not have,
    BinarizeError where nothing is named or two variants would share a directory.
    """
    names = split(text, ",") if isinstance(text, str) else [n for t in text for n in split(t, ",")]
    variants = list(dict.fromkeys(parse_variant(name) for name in names))
    if not variants:
        raise BinarizeError("no estimator is named", "name some: --estimators float,ste,ab-tanh")
    if len({variant.slug for variant in variants}) < len(variants):
        raise BinarizeError("two of the variants would share a directory", "write them differently")
    return variants


def parse_variant(text: str) -> Variant:
    """One variant, as the top of this file writes it."""
    name, colon, rest = (part.strip() for part in text.partition(":"))
    known = [FLOAT, *estimators.TABLE]
    if name not in known:
        hint = did_you_mean(name, known) or f"the variants are {', '.join(known)}"
        raise EstimatorError(f'there is no estimator "{name}"', hint)
    changes = tuple(_change(name, item) for item in split(rest, ";"))
    if colon and not changes:
        raise EstimatorError(
            f'variant "{text.strip()}" has nothing after the colon', f'write "{name}"'
        )
    if name == FLOAT and changes:
        raise EstimatorError(
            'the variant "float" takes no keys', "write it as float, without a colon"
        )
    written = ";".join(f"{key}={value}" for key, value in changes)
    return Variant(f"{name}:{written}" if written else name, name, changes)


def split(text: str, separator: str) -> list[str]:
    """The parts of `text` between separators that stand in no brackets; blank ones are dropped."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == separator and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def recipe_of(data: Mapping[str, Any], variant: Variant, seed: int) -> Recipe:
    """The recipe of one trial: that of `data` with a variant in place and another seed.

    The float baseline is switched off, since a variant of its own stands for it; it stays where a stage
    learns from it. Variants are compared by accuracy, for which images need labels. Raises RecipeError or
    EstimatorError, with the variant named.
    """
    base = load(data)
    twin = base.twin and _learns_from_twin(base) and not variant.is_float
    try:
        changes = [*variant.overrides(base), f"seed={seed}", f"twin={str(twin).lower()}"]
        recipe = load(data, [*changes, "data.labels=true"])
        if recipe.binarize is not None and not variant.is_float:
            chosen = recipe.binarize.estimator
            estimators.get(chosen.name, **chosen.constants)
        return recipe
    except (RecipeError, EstimatorError) as error:
        raise type(error)(f'variant "{variant.name}": {error.message}', error.hint) from error


def own_choices(base: Recipe) -> list[str]:
    """The keys of the recipe that name an estimator which no variant replaces."""
    stages = (
        f"stages.{number}.estimator"
        for number, stage in enumerate(base.stages)
        if stage.estimator is not None
    )
    layers: Iterable[str] = ()
    if base.binarize is not None:
        layers = (
            f"binarize.layers.{number}.estimator"
            for number, choice in enumerate(base.binarize.layers)
            if choice.estimator is not None
        )
    return [*stages, *layers]


def _change(name: str, item: str) -> tuple[str, str]:
    key, equals, value = (part.strip() for part in item.partition("="))
    if not (equals and key and value):
        raise EstimatorError(
            f'"{item}" in the variant "{name}" is not KEY=VALUE',
            f"write it as {name}:standardise=false",
        )
    known = [*_constants(name), *(field for field in Binarize.model_fields if field != "estimator")]
    if name != FLOAT and "." not in key and key not in known:
        hint = did_you_mean(key, known) or f"it may set {', '.join(known)}"
        raise EstimatorError(f'the variant "{name}" has no key "{key}"', hint)
    return key, value


def _constants(name: str) -> list[str]:
    """The constants of an estimator; of "float", none."""
    return (
        [constant.name for constant in estimators.TABLE[name].constants()] if name != FLOAT else []
    )


def _without_binarization(base: Recipe) -> list[str]:
    """Everything is kept, and no stage asks for what is then not there."""
    overrides = ["binarize=null", 'binarize.keep=["*"]']
    for number, stage in enumerate(base.stages):
        if stage.binary != "all":
            overrides.append(f"stages.{number}.binary=all")
        if stage.estimator is not None:
            overrides.append(f"stages.{number}.estimator=null")
        if stage.distill is not None and stage.distill.teacher == FLOAT:
            overrides.append(f"stages.{number}.distill=null")
    return overrides


def _learns_from_twin(base: Recipe) -> bool:
    return any(s.distill is not None and s.distill.teacher == FLOAT for s in base.stages)
