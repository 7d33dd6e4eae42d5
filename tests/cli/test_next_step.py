"""What is named as the next step: for that network, and with the files that are there."""

from __future__ import annotations

import pytest

from binarize.cli import next_step
from binarize.recipe import load, shipped
from binarize.run import FitRecord, RunInfo, write_info


def info(name="resnet18", size=224, kind="converted", library="timm", **conversion):
    model = {"name": name, "library": library, "library_version": "1", "kwargs": {}}
    made = {
        "estimator": {"name": "ab-tanh"},
        "scale": "channel",
        "standardise": True,
        "structure": "keep",
        "parameters": ["x"],
        **conversion,
    }
    return RunInfo.from_data(
        {
            "format": 2,
            "kind": kind,
            "model": model,
            "conversion": made,
            "weights": "random",
            "preprocess": {
                "img_size": size,
                "mean": [0.5] * 3,
                "std": [0.25] * 3,
                "interpolation": "bilinear",
                "crop_pct": 1.0,
            },
            "data": {"name": "digits", "dir": None} if kind == "trained" else {},
        }
    )


def fitted(info):
    return info.replace(
        fit=FitRecord(images=1, steps=1, seconds=1, error_before=1, error_after=0, outputs={})
    )


@pytest.mark.parametrize(
    ("made", "step"),
    [
        (info("cifar_resnet20", 32), "train R --recipe digits"),
        (info("resnet18", 32), "train R --recipe digits"),
        (info("resnet18.a1_in1k"), "train R --recipe imagenet-resnet18 --data-dir DIR"),
        (info("resnet34"), "train R --recipe imagenet-resnet34 --data-dir DIR"),
        (info("vit_base"), "train R --recipe imagenet-resnet18 --data-dir DIR"),
        (
            info("resnet34", structure="reactnet"),
            "train R --recipe imagenet-resnet34-reactnet --data-dir DIR",
        ),
        (info("fasterrcnn_resnet50_fpn", library="torchvision"), "summary R"),
        (info(kind="trained"), "eval R"),
        (fitted(info()), "train R --recipe finetune --data-dir DIR"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_after_converting(made, step):
    assert next_step.after_converting("R", made) == f"binarize {step}"
    words = step.split()
    if "--recipe" in words:
        assert words[words.index("--recipe") + 1] in shipped()


@pytest.mark.parametrize(
    ("recipe", "step"),
    [
        ("digits", "train cifar_resnet20 --recipe digits"),
        ("finetune", "train MODEL --recipe finetune --data-dir DIR"),
        ("cifar10-resnet20", "train --recipe cifar10-resnet20 --data-dir DIR"),
    ],
)
def test_a_recipe_is_trained_with_what_it_does_not_name(recipe, step, folder):
    assert next_step.training(recipe, load(recipe)) == f"binarize {step}"


def test_a_recipe_without_a_model_takes_the_run_that_is_there(folder):
    (folder / "runs/a").mkdir(parents=True)
    write_info(folder / "runs/a", info())
    assert next_step.training("digits", load("digits")) == "binarize train --recipe digits"


@pytest.mark.parametrize(("kind", "command"), [("trained", "eval"), ("converted", "bench")])
def test_a_file_of_a_run_without_data_is_timed(kind, command, folder):
    (folder / "a").mkdir()
    write_info(folder / "a", info(kind=kind))
    assert next_step.measuring(folder / "a/best") == command
