"""Recipes: a training run written down in YAML, checked before anything starts.

`load` reads one (its `extends`, `--set` overrides and defaults resolved), `dump` writes the resolved
one, `shipped` names those that come along. docs/recipes.md is the reference. No torch in here.
"""

from __future__ import annotations

from binarize.recipe.load import as_data, dump, find, load, shipped, shipped_path
from binarize.recipe.reference import json_schema, reference_markdown
from binarize.recipe.schema import (
    Augment,
    Binarize,
    Data,
    Distill,
    EarlyStop,
    Ema,
    Engine,
    Estimator,
    Export,
    Group,
    Groups,
    LayerChoice,
    Model,
    Optimizer,
    Recipe,
    Schedule,
    Stage,
)

__all__ = [
    "Augment",
    "Binarize",
    "Data",
    "Distill",
    "EarlyStop",
    "Ema",
    "Engine",
    "Estimator",
    "Export",
    "Group",
    "Groups",
    "LayerChoice",
    "Model",
    "Optimizer",
    "Recipe",
    "Schedule",
    "Stage",
    "as_data",
    "dump",
    "find",
    "json_schema",
    "load",
    "reference_markdown",
    "shipped",
    "shipped_path",
]
