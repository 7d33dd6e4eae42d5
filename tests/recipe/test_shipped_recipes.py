from __future__ import annotations

from pathlib import Path

import pytest

from binarize.cli.recipes import unknown_names
from binarize.recipe import dump, load, shipped, shipped_path

NEEDED = {
    "digits",
    "cifar10-resnet20",
    "cifar10-resnet20-step",
    "cifar10-resnet20-sign",
    "cifar10-resnet18",
    "imagenet-resnet18",
}


def test_the_literature_is_there() -> None:
    assert set(shipped()) >= NEEDED


@pytest.mark.parametrize("name", shipped())
def test_it_is_valid_down_to_its_names(name: str) -> None:
    assert load(name, check=unknown_names).description


@pytest.mark.parametrize("name", shipped())
def test_its_resolved_form_is_the_same_recipe(name: str, tmp_path: Path) -> None:
    path = tmp_path / "resolved.yaml"
    path.write_text(dump(load(name)))
    assert load(path) == load(name)


@pytest.mark.parametrize("name", shipped())
def test_its_header_says_how_to_run_it_and_what_came_out(name: str) -> None:
    text = shipped_path(name).read_text(encoding="utf-8")
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert any(f"binarize train --recipe {name}" in line for line in header)
    assert any(line.startswith("# Measured: ") for line in header)


def test_digits_trains_whatever_it_is_given() -> None:
    recipe = load("digits")
    assert recipe.model is None
    assert recipe.binarize is None
    assert (recipe.twin, recipe.data.img_size) == (True, 32)


def test_cifar10_resnet20_is_what_the_readme_compares() -> None:
    recipe = load("cifar10-resnet20")
    assert recipe.model is not None
    assert recipe.binarize is not None
    assert (recipe.model.name, recipe.binarize.estimator.name) == ("cifar_resnet20", "ab-tanh")
    assert recipe.twin
    assert recipe.engine.precision == "bf16"
    assert (recipe.stages[0].epochs or 0) >= 20


@pytest.mark.parametrize(
    ("name", "activations", "structure"),
    [("cifar10-resnet20-step", "step", "keep"), ("cifar10-resnet20-sign", "sign", "bireal")],
)
def test_binary_activations_come_first_then_the_weights(
    name: str, activations: str, structure: str
) -> None:
    recipe, weights_only = load(name), load("cifar10-resnet20")
    assert recipe.binarize is not None
    assert (recipe.binarize.activations, recipe.binarize.structure) == (activations, structure)
    assert [(stage.binary, stage.epochs) for stage in recipe.stages] == [
        ("activations", 8),
        ("all", 12),
    ]
    assert recipe.twin
    assert (recipe.model, recipe.data, recipe.engine) == (
        weights_only.model,
        weights_only.data,
        weights_only.engine,
    )


def test_both_have_the_same_float_twin() -> None:
    step, sign = load("cifar10-resnet20-step"), load("cifar10-resnet20-sign")
    assert step.stages == sign.stages


def test_imagenet_resnet18_is_trained_as_reste_trains_it() -> None:
    recipe = load("imagenet-resnet18")
    (stage,) = recipe.stages
    assert (stage.epochs, recipe.data.batch_size, stage.schedule.name) == (250, 750, "cosine")
    optimizer = stage.optimizer
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (0.1, 0.9, 1e-4)
    assert recipe.model is not None
    assert recipe.model.pretrained is False
