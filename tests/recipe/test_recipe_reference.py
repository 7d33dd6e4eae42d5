from __future__ import annotations

import json
from pathlib import Path

import pytest

from binarize.recipe import json_schema, load, reference_markdown, shipped
from binarize.recipe.schema import Recipe

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"


def test_the_committed_page_is_the_generated_one() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference_markdown(), "run: make docs"


def test_the_page_has_every_key_once() -> None:
    lines = reference_markdown().splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    schema = Recipe.model_json_schema()
    kinds = [schema, *schema["$defs"].values()]
    kinds = [next((c for c in kind.get("anyOf", ()) if "properties" in c), kind) for kind in kinds]
    keys = [key for kind in kinds for key in kind["properties"]]
    assert sorted(row.split("`")[1] for row in rows) == sorted(["extends", *keys])
    assert all(row.count(" | ") == 4 for row in rows), "a meaning that breaks its table"


def test_limits_defaults_and_units_are_shown() -> None:
    page = reference_markdown()
    assert "| `batch_size` | whole number (>= 1) | `128` | images |" in page
    assert "| `lr` | number (> 0) | **required** |" in page
    assert "| `steps` | whole number (>= 1), null | `null` | optimiser steps |" in page
    assert "| `pretrained` | `auto`, `true`, `false` | `auto` |" in page


def test_the_json_schema_is_one_for_files() -> None:
    schema = json_schema()
    json.dumps(schema)
    assert schema["additionalProperties"] is False
    assert "extends" in schema["properties"]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["properties"]["extends"]["type"] == "string"
    assert schema["properties"]["extends"]["minLength"] == 1
    assert schema["if"] == {"not": {"required": ["extends"]}}
    assert schema["then"] == {"required": ["data", "stages"]}
    kinds = [schema, *schema["$defs"].values()]
    kinds += [choice for kind in kinds for choice in kind.get("anyOf", [])]
    assert not any("required" in kind for kind in kinds)  # another file may have it
    named = {
        name
        for name, kind in schema["$defs"].items()
        if {"type": "string"} in kind.get("anyOf", [])
    }
    assert named == {"Model", "Estimator", "Data", "Optimizer", "Schedule"}
    assert schema["$defs"]["Stage"]["oneOf"] == [{"required": ["epochs"]}, {"required": ["steps"]}]


@pytest.mark.parametrize("name", shipped())
def test_the_json_schema_knows_every_key_that_recipes_use(name: str) -> None:
    known = json_schema()

    def check(data: object, schema: dict) -> None:
        if "$ref" in schema:
            schema = known["$defs"][schema["$ref"].rpartition("/")[2]]
        choices = schema.get("anyOf", [schema])
        if isinstance(data, dict):
            resolved = [
                known["$defs"][c["$ref"].rpartition("/")[2]] if "$ref" in c else c for c in choices
            ]
            resolved = [deep for c in resolved for deep in c.get("anyOf", [c])]
            (kind,) = [c for c in resolved if c.get("type") == "object"]
            for key, value in data.items():
                assert (
                    key in kind.get("properties", {}) or kind["additionalProperties"] is not False
                )
                check(value, kind.get("properties", {}).get(key, {}))
        elif isinstance(data, list) and "items" in schema:
            for item in data:
                check(item, schema["items"])

    check(load(name).model_dump(exclude_none=True), known)
