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
    "cifar10-resnet18-step",
    "cifar10-vgg-small",
    "cifar10-vgg-small-step",
    "cifar10-compare",
    "cifar10-finetune",
    "finetune",
    "imagenet-resnet18",
    "imagenet-resnet18-reactnet",
    "imagenet-resnet34",
    "imagenet-resnet34-reactnet",
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


@pytest.mark.parametrize("name", ["finetune", "cifar10-finetune"])
def test_finetuning_fits_without_labels_and_then_takes_them(name: str) -> None:
    """Whatever it is given: a run keeps its conversion, a float one and a model take the defaults."""
    recipe = load(name)
    assert recipe.model is None
    assert recipe.binarize is not None
    assert not recipe.binarize.model_fields_set
    assert not recipe.twin
    fit, labels = recipe.stages
    assert (fit.skip_if, fit.needs_labels, fit.steps) == ("fitted", False, 120)
    assert (labels.skip_if, labels.needs_labels) == (None, True)
    assert labels.epochs is not None
    assert labels.epochs <= 3
    assert fit.float_teacher
    assert labels.float_teacher
    assert fit.distill is not None
    assert labels.distill is not None
    assert (fit.distill.weight, fit.distill.features) == (0, 1)
    assert labels.distill.features > 0
    assert labels.optimizer.lr <= fit.optimizer.lr


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


def test_resnet34_differs_in_its_network_alone() -> None:
    small, large = load("imagenet-resnet18"), load("imagenet-resnet34")
    assert large.model is not None
    assert (large.model.name, large.model.pretrained) == ("resnet34", False)
    assert (large.binarize, large.data, large.stages) == (small.binarize, small.data, small.stages)


@pytest.mark.parametrize(
    ("name", "teacher"),
    [("imagenet-resnet18-reactnet", "resnet34"), ("imagenet-resnet34-reactnet", "resnet50")],
)
def test_reactnet_is_trained_as_its_scripts_train_it(name: str, teacher: str) -> None:
    recipe = load(name)
    assert recipe.binarize is not None
    assert (recipe.binarize.activations, recipe.binarize.structure) == ("sign", "reactnet")
    assert (recipe.data.batch_size, recipe.data.augment.scale) == (512, [0.08, 1.0])
    assert [stage.binary for stage in recipe.stages] == ["activations", "all"]
    assert [stage.optimizer.weight_decay for stage in recipe.stages] == [1e-5, 0.0]
    for stage in recipe.stages:
        assert (stage.epochs, stage.optimizer.name, stage.optimizer.lr) == (128, "adam", 2.5e-3)
        assert (stage.schedule.name, stage.schedule.decay_rate) == ("poly", 1.0)
        assert stage.distill is not None
        assert stage.distill.teacher == f"torchvision/{teacher}"
        assert (stage.distill.weight, stage.distill.temperature) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("name", "model"),
    [("cifar10-resnet18-step", "cifar_resnet18"), ("cifar10-vgg-small-step", "cifar_vgg_small")],
)
def test_on_cifar10_the_float_twin_teaches(name: str, model: str) -> None:
    recipe = load(name)
    assert recipe.model is not None
    assert recipe.binarize is not None
    assert (recipe.model.name, recipe.binarize.activations) == (model, "step")
    assert (recipe.twin, recipe.data.cache) == (True, "device")
    first, last = recipe.stages
    assert (first.binary, last.binary) == ("activations", "all")
    assert first.distill == last.distill
    assert first.distill is not None
    assert first.distill.teacher == "float"
    assert last.optimizer.groups.latent.weight_decay == 0
    assert last.reestimate_norms > 0


def test_the_comparison_is_one_short_training_with_images_held_out() -> None:
    recipe, whole = load("cifar10-compare"), load("cifar10-resnet20")
    (stage,) = recipe.stages
    assert (stage.epochs, recipe.twin, recipe.data.holdout) == (15, False, 5000)
    assert (stage.optimizer, stage.schedule) == (
        whole.stages[0].optimizer,
        whole.stages[0].schedule,
    )
    assert recipe.data == whole.data.model_copy(update={"holdout": 5000})
    assert recipe.model == whole.model
    assert (recipe.engine.precision, recipe.engine.threads) == ("bf16", 1)


def test_vgg_small_is_trained_on_weights_alone() -> None:
    recipe = load("cifar10-vgg-small")
    assert recipe.model is not None
    assert recipe.binarize is not None
    assert (recipe.model.name, recipe.binarize.activations) == ("cifar_vgg_small", "float")
    (stage,) = recipe.stages
    assert (stage.optimizer.lr, stage.optimizer.weight_decay) == (0.1, 5e-4)
