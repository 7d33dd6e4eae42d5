from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import train_runs as tiny
from safetensors.torch import load_file

from binarize import api, models
from binarize.errors import CheckpointError, DataError, RecipeError, RunError, TrainingError
from binarize.layers import binary_weights
from binarize.recipe import Model, load
from binarize.rewrite import Options, SourceOptions, build, open_float
from binarize.run import EstimatorSpec, open_run
from binarize.training import prepare, train

SMALL = SourceOptions(pretrained=False, img_size=8, kwargs=tiny.SMALLER)
STEPS = 5
"""Of an epoch: the training images of digits make so many batches."""


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A run made by convert, with random weights and ten classes without names."""
    path = tmp_path_factory.mktemp("converted") / "run"
    options = Options(estimator="ede", scale="layer", keep=("layer3.*",))
    return api.convert_to_run(tiny.MODEL, options, SMALL, out=path).run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training with a float baseline that was never interrupted, and what it returned."""
    path = tmp_path_factory.mktemp("whole") / "run"
    told = tiny.Told()
    return path, train(tiny.recipe(twin=True, **tiny.BINARY), out=path, progress=told), told


def weights(run):
    return load_file(run / "last" / "model.safetensors")


def same(a, b):
    first, second = weights(a), weights(b)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_the_result_has_the_keys_of_the_command(whole):
    path, result, _ = whole
    content = result.as_json()
    assert content["run"] == str(path)
    assert {"run", "epochs", "top1", "top1_float", "seconds"} <= content.keys()
    assert content["epochs"] == 2
    json.dumps(content)


def test_the_twin_is_trained_first_and_is_a_run_without_binary_weights(whole):
    path, result, told = whole
    assert told.tasks == [("float baseline", 2 * STEPS, 0), ("binarized", 2 * STEPS, 0)]
    assert open_run(path / "twin").info.conversion is None
    assert not list(binary_weights(build(path / "twin")))
    assert len(list(binary_weights(build(path)))) == 6
    assert result.top1_float is not None
    assert (path / "twin" / "metrics.csv").is_file()


def test_the_finished_run_has_what_later_commands_read(whole):
    path, _, _ = whole
    info = open_run(path).info
    assert (info.kind, info.classes) == ("trained", [str(digit) for digit in range(10)])
    assert info.data.to_json() == {"name": "digits", "dir": None}
    assert info.preprocess.img_size == 8
    summary = json.loads((path / "summary.json").read_text())
    assert summary["totals"]["params_1bit"] == 73_728
    assert json.loads((path / "env.json").read_text())
    assert {entry.name for entry in path.iterdir()} == {
        *("run.json", "summary.json", "env.json", "recipe.resolved.yaml", "metrics.csv"),
        "indicators.csv",
        *("last", "best", "twin"),
    }


def test_everything_is_there_before_the_first_step(tmp_path):
    with pytest.raises(tiny.Killed):
        train(
            tiny.recipe(twin=True, **tiny.BINARY),
            out=tmp_path / "run",
            progress=tiny.KillIn("float baseline", 1),
        )
    names = {
        str(f.relative_to(tmp_path / "run")) for f in (tmp_path / "run").rglob("*.*") if f.is_file()
    }
    assert names == {
        *("run.json", "summary.json", "env.json", "recipe.resolved.yaml"),
        *("initial/model.safetensors", "twin/run.json"),
    }


@pytest.mark.parametrize(("phase", "epoch"), [("float baseline", 2), ("binarized", 2)])
def test_killed_anywhere_it_ends_with_the_same_weights(whole, tmp_path, phase, epoch):
    path = tmp_path / "run"
    with pytest.raises(tiny.Killed):
        train(tiny.recipe(twin=True, **tiny.BINARY), out=path, progress=tiny.KillIn(phase, epoch))
    told = tiny.Told()
    result = train(resume=path, progress=told)
    assert told.tasks[0] == (phase, 2 * STEPS, (epoch - 1) * STEPS)
    assert same(path, whole[0])
    assert same(path / "twin", whole[0] / "twin")
    assert (result.top1, result.top1_float) == (whole[1].top1, whole[1].top1_float)


def test_resuming_a_finished_run_says_so(whole):
    told = tiny.Told()
    assert train(resume=whole[0], progress=told) == whole[1]
    assert told.heard("is finished")
    assert told.tasks == []


def test_resuming_the_twin_means_its_run(whole):
    assert train(resume=whole[0] / "twin").run == str(whole[0])


def test_the_resolved_recipe_trains_the_same_again(whole, tmp_path):
    train(whole[0] / "recipe.resolved.yaml", out=tmp_path / "again")
    assert same(tmp_path / "again", whole[0])


def test_a_run_keeps_its_conversion(converted, tmp_path):
    told = tiny.Told()
    result = train(tiny.recipe(1), converted, out=tmp_path / "run", progress=told)
    before, after = open_run(converted).info, open_run(tmp_path / "run").info
    assert after.conversion.parameters == before.conversion.parameters
    assert (after.conversion.estimator.name, after.conversion.scale) == ("ede", "layer")
    assert after.parent == "run"
    assert after.created > before.created
    assert result.top1_float is None
    assert not told.heard("classifier")


def test_what_the_recipe_sets_wins_over_the_run_and_the_rest_stays(converted, tmp_path):
    told = tiny.Told()
    chosen = tiny.recipe(1, binarize={"estimator": {"name": "ab-tanh", "k_end": 4}})
    train(chosen, converted, out=tmp_path / "run", progress=told)
    after = open_run(tmp_path / "run").info.conversion
    assert after.estimator == EstimatorSpec(name="ab-tanh", k_end=4)
    assert (after.scale, after.keep) == ("layer", ["layer3.*"])
    assert told.heard("not ede")
    resolved = load(tmp_path / "run" / "recipe.resolved.yaml")
    assert (resolved.binarize.scale, resolved.binarize.keep) == ("layer", ["layer3.*"])


def test_a_classifier_for_other_classes_starts_anew(tmp_path):
    api.convert_to_run(tiny.MODEL, Options(), replace(SMALL, num_classes=7), out=Path("seven"))
    told = tiny.Told()
    train(tiny.recipe(1), "seven", out=tmp_path / "run", progress=told)
    assert told.heard("it had 7 classes, the data has 10 (0, 1, 2, …)")
    assert weights(tmp_path / "run")["fc.weight"].shape == (10, 64)


def test_the_target_wins_over_the_recipes_model(converted, tmp_path):
    told = tiny.Told()
    chosen = tiny.recipe(1, model={"name": "resnet18", "pretrained": False})
    train(chosen, converted, out=tmp_path / "run", progress=told)
    assert told.heard("not the recipe's model (resnet18)")
    assert open_run(tmp_path / "run").info.model.name == tiny.MODEL
    assert load(tmp_path / "run" / "recipe.resolved.yaml").model is None


def test_left_out_it_is_the_newest_run(tmp_path):
    with pytest.raises(RunError, match="no run under runs"):
        train(tiny.recipe(1))
    made = api.convert_to_run(tiny.MODEL, Options(), SMALL)
    told = tiny.Told()
    result = train(tiny.recipe(1), progress=told)
    assert told.heard(f"the newest run, {made.run}")
    assert result.run == "runs/cifar_resnet20-recipe"


def test_a_model_takes_the_default_conversion(tmp_path):
    train(tiny.recipe(1, model=tiny.BINARY["model"]), out=tmp_path / "run")
    assert open_run(tmp_path / "run").info.conversion.estimator == EstimatorSpec(name="ab-tanh")


def test_a_float_run_stays_float_and_says_so(whole, tmp_path):
    told = tiny.Told()
    train(tiny.recipe(1, twin=True), whole[0] / "twin", out=tmp_path / "run", progress=told)
    assert told.heard("stays float")
    assert told.tasks == [("float model", STEPS, 0)]
    assert open_run(tmp_path / "run").info.conversion is None


def test_a_float_run_is_binarized_where_the_recipe_says_so(whole, tmp_path):
    chosen = tiny.recipe(1, binarize={"estimator": "ste"})
    train(chosen, whole[0] / "twin", out=tmp_path / "run")
    assert len(list(binary_weights(build(tmp_path / "run")))) == 6


def test_a_stage_that_cannot_begin_is_refused_before_anything_is_written(tmp_path):
    stages = [{"epochs": 1, "optimizer": {"name": name, "lr": 0.1}} for name in ("sgd", "nosuch")]
    with pytest.raises(RecipeError, match="cannot make the optimiser"):
        train(tiny.recipe(stages=stages, **tiny.BINARY), out=tmp_path / "run")
    with pytest.raises(TrainingError, match="fewer training images"):
        train(tiny.recipe(data={"batch_size": 2000}, **tiny.BINARY), out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_stem_for_large_images_draws_a_warning(tmp_path):
    told = tiny.Told()
    model = {"name": "test_resnet", "pretrained": False, "stem": "keep"}
    binarize = {"estimator": "ste"}
    chosen = tiny.recipe(1, model=model, binarize=binarize, data={"img_size": 16})
    train(chosen, out=tmp_path / "run", progress=told)
    assert told.heard("made for large images, and these have 16 pixels")
    assert told.heard("--img-size 16")


def test_a_replaced_stem_is_in_the_twin_too(tmp_path):
    model = {"name": "test_resnet", "pretrained": False}
    chosen = tiny.recipe(
        1, model=model, binarize={"estimator": "ste"}, twin=True, data={"img_size": 16}
    )
    train(chosen, out=tmp_path / "run")
    twin = build(tmp_path / "run" / "twin")
    assert twin.get_submodule("conv1.0").stride == (1, 1)
    assert not list(binary_weights(twin))


def test_bad_targets_and_folders_leave_nothing_behind(tmp_path, converted):
    for target, kind, words in [
        ("nosuch", Exception, "there is no model"),
        ("./nosuch", RunError, "does not exist"),
        (str(tmp_path), RunError, "is not a run"),
    ]:
        with pytest.raises(kind, match=words):
            train(tiny.recipe(1), target)
    missing = tiny.recipe(1, data={"name": "folder", "dir": str(tmp_path / "nosuch")})
    with pytest.raises(DataError):
        train(missing, converted)
    with pytest.raises(RunError, match="exists already"):
        train(tiny.recipe(1), converted, out=converted)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"\xff" * 99, b"\0" * 99, b"epoch,stage\n1,2,3\n"])
def test_damaged_tables_do_not_keep_a_training_from_its_end(tmp_path, damage):
    path = tmp_path / "run"
    with pytest.raises(tiny.Killed):
        train(tiny.recipe(**tiny.BINARY), out=path, progress=tiny.KillIn("binarized", 2))
    names = ("metrics.csv", "indicators.csv")
    for name in names:
        (path / name).write_bytes(damage)
    told = tiny.Told()
    done = train(resume=path, progress=told)
    for name in names:
        assert told.heard(f'{name}" cannot be read')
        assert (path / f"{name}.damaged").read_bytes() == damage
        epochs = {row.split(",")[0] for row in (path / name).read_text().splitlines()[1:]}
        assert epochs == {str(epoch) for epoch in range(2, done.epochs + 1)}


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors"])
def test_a_truncated_checkpoint_is_an_error_and_the_hint_works(tmp_path, name):
    path = tmp_path / "run"
    with pytest.raises(tiny.Killed):
        train(tiny.recipe(**tiny.BINARY), out=path, progress=tiny.KillIn("binarized", 2))
    content = (path / "last" / name).read_bytes()
    (path / "last" / name).write_bytes(content[:1000])
    with pytest.raises(CheckpointError, match="missing or damaged") as caught:
        train(resume=path)
    assert f'remove "{path / "last"}"' in caught.value.hint
    for file in (path / "last").iterdir():
        file.unlink()
    (path / "last").rmdir()
    assert train(resume=path).epochs == 2


def test_resume_needs_a_training(tmp_path, converted):
    with pytest.raises(RunError, match="does not exist"):
        train(resume=tmp_path / "nosuch")
    with pytest.raises(RunError, match="not made by train"):
        train(resume=converted)
    with pytest.raises(TrainingError, match="no recipe"):
        train()


def test_data_of_other_classes_is_refused_on_resume(tmp_path, whole):
    from PIL import Image

    path = tmp_path / "run"
    folder = tmp_path / "pictures"
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (folder / split / name).mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (8, 8), (number, 0, 0)).save(
                    folder / split / name / f"{number}.png"
                )
    chosen = tiny.recipe(
        **tiny.BINARY, data={"name": "folder", "dir": str(folder), "batch_size": 4}
    )
    with pytest.raises(tiny.Killed):
        train(chosen, out=path, progress=tiny.KillIn("binarized", 1))
    assert open_run(path).info.classes == ["cat", "dog"]
    for split in ("train", "test"):
        (folder / split / "dog").rename(folder / split / "emu")
        (folder / split / "fox").mkdir()
        Image.new("RGB", (8, 8)).save(folder / split / "fox" / "0.png")
    with pytest.raises(DataError):
        train(resume=path)


@pytest.mark.parametrize(("classes", "anew"), [(10, False), (3, True)])
def test_a_pretrained_classifier_starts_anew_for_other_classes_alone(classes, anew, monkeypatch):
    def pretrained(*given):
        random = ["fc"] if given[1].num_classes != 10 else []
        return open_float(*given).saying(weights="pretrained (somewhere)", random=random)

    monkeypatch.setattr(prepare, "open_float", pretrained)
    told, section = tiny.Told(), Model(name=tiny.MODEL)
    names = [str(number) for number in range(classes)]
    prepared = prepare.prepare(tiny.MODEL, section, tiny.recipe(), names, told)
    assert prepared.anew == ("classifier" if anew else "")
    assert told.heard("starts anew") is anew


def test_a_checkpoint_of_other_classes_keeps_all_but_its_classifier(tmp_path):
    trained = models.create(tiny.MODEL, num_classes=5)
    torch.save({"model": trained.state_dict()}, tmp_path / "w.pth")
    told, section = tiny.Told(), Model(name=tiny.MODEL, checkpoint=str(tmp_path / "w.pth"))
    prepared = prepare.prepare(tiny.MODEL, section, tiny.recipe(), ["a", "b", "c"], told)
    assert prepared.anew == "classifier"
    assert told.heard("it had 5 classes, the data has 3")
    assert prepared.converted.info.random == ["fc"]
    assert torch.equal(
        prepared.converted.conversion.model.state_dict()["conv1.weight"], trained.conv1.weight
    )
