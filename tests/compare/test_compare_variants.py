from __future__ import annotations

import compare_sweeps as sweeps
import pytest

from binarize import estimators
from binarize.comparing.variants import (
    Variant,
    own_choices,
    parse_variant,
    parse_variants,
    recipe_of,
    split,
)
from binarize.errors import BinarizeError, EstimatorError, RecipeError
from binarize.recipe import load


@pytest.mark.parametrize("name", ["float", *estimators.TABLE])
def test_a_bare_name_is_an_variant(name):
    assert parse_variant(name) == Variant(name, name)


def test_keys_after_the_colon_lose_their_blanks():
    variant = parse_variant(" ab-tanh: k_end = 7 ; scale=layer ")
    assert (variant.name, variant.changes) == (
        "ab-tanh:k_end=7;scale=layer",
        (("k_end", "7"), ("scale", "layer")),
    )
    assert variant.slug == "ab-tanh-k_end=7-scale=layer"


def test_several_variants_each_once_in_order():
    variants = parse_variants("float, ste:standardise=false,ste,float")
    assert [variant.name for variant in variants] == ["float", "ste:standardise=false", "ste"]
    assert parse_variants(["float,ste:standardise=false", "ste"]) == variants


def test_commas_in_brackets_do_not_part_variants():
    assert split('ste:keep=["a","b"],ede', ",") == ['ste:keep=["a","b"]', "ede"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("ab-tan", 'there is no estimator "ab-tan"', 'did you mean "ab-tanh"?'),
        ("flot", 'there is no estimator "flot"', 'did you mean "float"?'),
        ("ste:standardize=no", 'has no key "standardize"', 'did you mean "standardise"?'),
        ("ab-tanh:k_ned=7", 'has no key "k_ned"', 'did you mean "k_end"?'),
        ("ste:k_end=7", 'has no key "k_end"', ""),
        ("ste:", "has nothing after the colon", 'write "ste"'),
        ("ste:standardise", "is not KEY=VALUE", ""),
        ("float:scale=layer", 'the variant "float" takes no keys', ""),
        ("ste:estimator=ede", 'has no key "estimator"', ""),
        ("", "no estimator is named", ""),
        ("ste:keep=[a],ste:keep=(a)", "would share a directory", ""),
    ],
)
def test_what_is_no_variant(text, message, hint):
    with pytest.raises(BinarizeError) as caught:
        parse_variants(text)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.hint


def test_another_estimator_has_its_own_constants():
    recipe = recipe_of(sweeps.CONTENTS, parse_variant("ab-arctan"), 3)
    assert recipe.binarize.estimator.name == "ab-arctan"
    assert recipe.binarize.estimator.constants == {}
    assert recipe.seed == 3
    assert recipe.data.labels is True


def test_the_recipes_own_estimator_keeps_the_recipes_constants():
    assert recipe_of(sweeps.CONTENTS, parse_variant("ab-tanh"), 0).binarize.estimator.constants == {
        "k_end": 6
    }
    changed = recipe_of(sweeps.CONTENTS, parse_variant("ab-tanh:a_end=0.5;scale=layer"), 0).binarize
    assert changed.estimator.constants == {"k_end": 6, "a_end": 0.5}
    assert changed.scale == "layer"


def test_a_key_with_dots_is_one_of_the_recipe():
    recipe = recipe_of(sweeps.CONTENTS, parse_variant("ste:stages.0.optimizer.lr=0.2"), 0)
    assert recipe.stages[0].optimizer.lr == 0.2
    assert recipe.stages[0].optimizer.name == "momentum"


def test_the_float_variant_keeps_everything_float_and_no_stage_asks_for_more():
    stages = [
        {"epochs": 1, "binary": "activations", "optimizer": {"lr": 0.1}, "estimator": "ede"},
        {"epochs": 1, "optimizer": {"lr": 0.1}, "distill": {"teacher": "float"}},
    ]
    contents = {
        **sweeps.CONTENTS,
        "twin": True,
        "stages": stages,
        "binarize": {"activations": "sign", "structure": "bireal", "force": ["fc"]},
    }
    recipe = recipe_of(contents, parse_variant("float"), 0)
    assert recipe.binarize.keep == ["*"]
    assert recipe.binarize.model_fields_set == {"keep"}
    assert [stage.binary for stage in recipe.stages] == ["all", "all"]
    assert all(stage.estimator is None and stage.distill is None for stage in recipe.stages)
    assert not recipe.twin


@pytest.mark.parametrize("distil", [False, True])
def test_the_twin_goes_unless_a_stage_learns_from_it(distil):
    stage = {**sweeps.CONTENTS["stages"][0], "distill": {"teacher": "float"} if distil else None}
    recipe = recipe_of(
        {**sweeps.CONTENTS, "twin": True, "stages": [stage]}, parse_variant("ste"), 0
    )
    assert recipe.twin is distil


def test_a_wrong_value_names_its_variant():
    with pytest.raises(RecipeError, match=r'^variant "ste:standardise=maybe": '):
        recipe_of(sweeps.CONTENTS, parse_variant("ste:standardise=maybe"), 0)
    with pytest.raises(EstimatorError, match=r'^variant "ab-tanh:k_end=-1": '):
        recipe_of(sweeps.CONTENTS, parse_variant("ab-tanh:k_end=-1"), 0)


def test_estimators_that_no_variant_replaces_are_named():
    stage = {**sweeps.CONTENTS["stages"][0], "estimator": "ste"}
    layers = [{"match": "layer3.*", "scale": "layer"}, {"match": "fc", "estimator": "ede"}]
    recipe = load({**sweeps.CONTENTS, "stages": [stage], "binarize": {"layers": layers}})
    assert own_choices(recipe) == ["stages.0.estimator", "binarize.layers.1.estimator"]
    assert own_choices(load(sweeps.CONTENTS)) == []
