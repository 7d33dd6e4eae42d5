from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from binarize.choices import MOST_BASES
from binarize.errors import RecipeError
from binarize.recipe import Estimator, Recipe, Stage, load
from binarize.recipe.schema import Named, Section, section_at
from binarize.run import EstimatorSpec

ONE = {"epochs": 1, "optimizer": {"lr": 0.1}}
MINIMAL = {"data": "digits", "stages": [ONE]}


def with_keys(**keys: object) -> dict[str, object]:
    return {**MINIMAL, **keys}


def stage(**keys: object) -> dict[str, object]:
    return with_keys(stages=[{"epochs": 4, "optimizer": {"lr": 0.1}, **keys}])


def sections() -> list[type[Section]]:
    found, kinds = [], [Section]
    while kinds:
        kinds = [child for kind in kinds for child in kind.__subclasses__()]
        found += [kind for kind in kinds if kind not in (Named, *found)]
    return found


def test_a_recipe_may_be_this_short() -> None:
    recipe = load(MINIMAL)
    assert (recipe.seed, recipe.twin, recipe.model, recipe.binarize) == (0, False, None, None)
    assert recipe.data.name == "digits"
    assert recipe.model_fields_set == {"data", "stages"}


def test_a_bare_name_stands_for_its_section() -> None:
    recipe = load(with_keys(model="resnet18", binarize={"estimator": "reste"}))
    assert recipe.model is not None
    assert recipe.model.name == "resnet18"
    assert recipe.binarize is not None
    assert recipe.binarize.estimator == Estimator(name="reste")
    assert recipe.binarize.estimator.constants == {}


def test_force_is_still_read_as_include() -> None:
    recipe = load(with_keys(binarize={"include": ["fc"], "force": ["conv1", "layer1.*"]}))
    assert recipe.binarize is not None
    assert recipe.binarize.include == ["fc", "conv1", "layer1.*"]
    assert load(with_keys(binarize={"force": []})).binarize.include == []


@pytest.mark.parametrize(
    "section", [{"force": 3}, {"include": 3, "force": ["fc"]}, {"force": "fc"}]
)
def test_force_is_checked_as_include_is(section: dict[str, object]) -> None:
    with pytest.raises(RecipeError):
        load(with_keys(binarize=section))


def test_estimator_constants_are_the_keys_besides_name() -> None:
    estimator = {"name": "ab-tanh", "a_end": 0.5, "clip": None, "n": 9}
    recipe = load(with_keys(binarize={"estimator": estimator}))
    assert recipe.binarize is not None
    constants = recipe.binarize.estimator.constants
    assert constants == {"a_end": 0.5, "clip": None, "n": 9}
    assert type(constants["n"]) is int
    assert recipe.binarize.estimator.spec == EstimatorSpec.of(estimator)


@pytest.mark.parametrize("kind", sections(), ids=lambda kind: kind.__name__)
def test_every_key_has_a_meaning_and_every_section_is_strict(kind: type[BaseModel]) -> None:
    assert kind.__doc__
    assert all(field.description for field in kind.model_fields.values())
    assert kind.model_config["strict"] is True
    assert kind.model_config["extra"] == ("allow" if kind is Estimator else "forbid")


def test_recipes_are_read_only() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(MINIMAL).seed = 1


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (with_keys(seed="1"), 'seed should be a whole number, not "1"'),
        (with_keys(seed=True), "seed should be a whole number, not true"),
        (with_keys(seed=-1), "seed should be greater than or equal to 0, not -1"),
        (with_keys(twin=1), "twin should be true or false, not 1"),
        (with_keys(version=2), "reads recipes of version 1, not 2"),
        (with_keys(version=True), "version should be a whole number, not true"),
        (with_keys(description=3), "description should be text, not 3"),
        (with_keys(stages=[]), "stages should have at least 1 item"),
        (with_keys(stages={}), "stages should be a list, not a mapping of keys"),
        (with_keys(model={"kwargs": {}}), "model.name is missing"),
        (with_keys(model=3), "model should be a name or a mapping of keys, not 3"),
        (with_keys(model={"name": "x", "pretrained": 1}), "should be auto, true or false, not 1"),
        (
            with_keys(model={"name": "x", "pretrained": "autto"}),
            'one of "auto", true, false (did you mean "auto"?), not "autto"',
        ),
        (with_keys(binarize="ab-tanh"), "binarize should be a mapping of keys"),
        (with_keys(binarize={"keep": "layer1"}), "binarize.keep should be a list"),
        (
            with_keys(binarize={"estimator": {"name": "ab-tanh", "a_end": [0.5]}}),
            "binarize.estimator.a_end: should be a number, a word, true, false or null",
        ),
        (
            with_keys(binarize={"activations": "stepp"}),
            'binarize.activations should be one of "float", "step", "sign" (did you mean "step"?)',
        ),
        (
            with_keys(binarize={"activations": "step", "structure": "bireal"}),
            "binarize.structure: bireal is made for activations sign, not for step",
        ),
        (
            with_keys(binarize={"structure": "reactnet"}),
            "binarize.structure: reactnet is made for activations sign, not for float",
        ),
        (with_keys(data={"name": "d", "batch_size": 0}), "data.batch_size should be greater"),
        (
            with_keys(data={"name": "d", "workers": 10**5}),
            "data.workers should be less than or equal",
        ),
        (with_keys(engine={"threads": 10**5}), "engine.threads should be less than or equal"),
        (with_keys(data={"name": "d", "std": [1, 1, 0]}), "three positive"),
        (with_keys(data={"name": "d", "mean": [1, 1]}), "data.mean should have at least 3 items"),
        (with_keys(data={"name": "d", "augment": {"scale": [1, 0.5]}}), "0 < low <= high"),
        (
            with_keys(data={"name": "d", "augment": {"scale": [0.5]}}),
            "scale should have at least 2",
        ),
        (with_keys(data={"name": "d", "cache": 1}), "should be true, false or device, not 1"),
        (
            with_keys(data={"name": "d", "augment": {"auto_augment": ""}}),
            "data.augment.auto_augment should not be empty",
        ),
        (
            with_keys(data={"name": "folder", "labels": 1}),
            "data.labels: should be true, false or auto, not 1",
        ),
        (
            with_keys(data={"name": "digits", "labels": False}),
            "data.labels: can be false where name is folder or csv, and it is digits",
        ),
        (
            with_keys(data={"name": "folder", "labels": False}),
            "stages.0.distill: should have labels: false",
        ),
        (with_keys(model={"name": "x", "checkpoint": "ü" * 3, "stem": "ü"}), 'not "ü"'),
        (
            with_keys(data={"name": "d", "augment": {"scale": [0.5, 1], "crop_padding": 4}}),
            "data.augment.crop_padding: cannot be used together with scale",
        ),
        (stage(steps=3), "this one has both"),
        (stage(epochs=None), "this one has neither"),
        (stage(epochs=1.5), "stages.0.epochs should be a whole number, not 1.5"),
        (stage(optimizer={}), "stages.0.optimizer.lr is missing: learning rate"),
        (stage(optimizer={"lr": float("nan")}), "stages.0.optimizer.lr should be a finite number"),
        (stage(schedule={"warmup_epochs": 5}), "warms up for 5 epochs, but the stage has 4"),
        (stage(schedule="step"), "decay_epochs: is needed by schedule step"),
        (stage(schedule={"decay_milestones": [1]}), "belongs to schedule multistep, and this one"),
        (stage(distill={"labels": False, "weight": 0.0}), "needs weight or features"),
        (stage(schedule="cosin"), '(did you mean "cosine"?), not "cosin"'),
        (stage(ema=True), "stages.0.ema should be a mapping of keys"),
        (stage(skip_if="fitted"), "stages.0.skip_if: should be null in the last stage"),
        (with_keys(stages=[{**ONE, "skip_if": "trained"}, ONE]), "stages.0.skip_if"),
        (stage(binary="all but one"), 'one of "all", "activations", "weights", "none"'),
        (stage(binary="weights"), "stages.0.binary: should be all in the last stage"),
        (
            with_keys(
                binarize={"estimator": "ste"},
                stages=[{**ONE, "binary": "weights"}, {**ONE, "binary": "activations"}, ONE],
            ),
            "stages.1.binary: needs binarize.activations step or sign",
        ),
        ({}, "data is missing"),
        (with_keys(extends="digits"), "extends is read from files only"),
    ],
)
def test_what_does_not_fit_is_refused(contents: dict[str, object], words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(contents)
    assert words in caught.value.message


@pytest.mark.parametrize("binarize", [{}, {"binarize": {"activations": "sign"}}])
def test_stages_say_what_is_binary_in_them(binarize: dict[str, object]) -> None:
    names = ("none", "weights", "activations", "all")
    recipe = load({**MINIMAL, **binarize, "stages": [{**ONE, "binary": name} for name in names]})
    assert [stage.binary_weights for stage in recipe.stages] == [False, True, False, True]
    assert [stage.binary_inputs for stage in recipe.stages] == [False, False, True, True]
    assert load(MINIMAL).stages[0].binary == "all"


def test_an_error_in_a_stage_has_the_line_of_its_key(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        "data: digits\nstages:\n"
        "  - {epochs: 1, optimizer: {lr: 0.1}}\n"
        "  - epochs: 1\n    optimizer: {lr: 0.1}\n    binary: none\n"
    )
    with pytest.raises(RecipeError, match=r":6: stages\.1\.binary: should be all in the last"):
        load(path)


def test_schedules_take_the_keys_of_their_curve() -> None:
    step = load(stage(schedule={"name": "step", "decay_epochs": 2})).stages[0].schedule
    assert step.decay_epochs == 2
    milestones = {"name": "multistep", "decay_milestones": [1, 3]}
    assert load(stage(schedule=milestones)).stages[0].schedule.decay_milestones == [1, 3]


def test_section_at_follows_lists_and_stops_at_free_mappings() -> None:
    assert section_at(()) is Recipe
    assert section_at(("stages", 0)) is Stage
    assert section_at(("binarize", "estimator")) is Estimator
    assert section_at(("model", "kwargs")) is None
    assert section_at(("model", "kwargs", "data")) is None
    assert section_at(("seed",)) is None


@pytest.mark.parametrize(
    "override",
    [
        *("data.dir=''", f"data.dir={'x' * 5000}", f"data.name={'x' * 300}", "data.img_size=4097"),
        *("data.workers=65537", "data.augment.crop_padding=65537", "engine.threads=65537"),
        *("engine.accumulate=9000000", "stages.0.optimizer.lr=1e300"),
        *("stages.0.optimizer.groups.rest.lr_scale=1e10", "export.opset=17"),
        *("binarize.bases=0", f"binarize.bases={MOST_BASES + 1}"),
    ],
)
def test_what_a_run_or_a_machine_cannot_hold_is_refused(override: str) -> None:
    with pytest.raises(RecipeError, match=override.partition("=")[0]):
        load(MINIMAL, [override])


NAMES = [
    *("model", "binarize.estimator", "data", "data.dir", "data.augment.auto_augment"),
    *("stages.0.name", "stages.0.optimizer.name", "stages.0.distill.teacher"),
]


@pytest.mark.parametrize("path", NAMES)
def test_a_name_has_a_letter_at_least(path: str) -> None:
    load(MINIMAL, [f"{path}=x"])
    with pytest.raises(RecipeError, match="should not be empty"):
        load(MINIMAL, [f"{path}=''"])


def test_a_glob_has_a_letter_at_least() -> None:
    assert load(MINIMAL, ["binarize.layers=[{match: '*'}]"]).binarize.layers[0].match == "*"
    with pytest.raises(RecipeError, match=r"layers\.0\.match should not be empty"):
        load(MINIMAL, ["binarize.layers=[{match: ''}]"])


def test_a_number_is_at_most_1e9() -> None:
    assert load(MINIMAL, ["stages.0.optimizer.lr=1e9"]).stages[0].optimizer.lr == 1e9
    with pytest.raises(RecipeError, match="should be a number of at most 1e"):
        load(MINIMAL, ["stages.0.optimizer.lr=1000000000.5"])


def test_a_crop_has_an_area() -> None:
    assert load(MINIMAL, ["data.augment.scale=[1e-9, 1]"]).data.augment.scale == [1e-9, 1]
    with pytest.raises(RecipeError, match="0 < low <= high"):
        load(MINIMAL, ["data.augment.scale=[0, 1]"])


def test_a_stage_ends_early_by_held_out_images_alone() -> None:
    early = stage(early_stop={"patience": 1})
    held_out = load({**early, "data": {"name": "digits", "holdout": 9}})
    assert held_out.stages[0].early_stop is not None
    with pytest.raises(RecipeError, match=r"stages\.0\.early_stop: needs data\.holdout: never"):
        load(early)
