"""The directory of a new training, before its first step: what is written, and what is refused first."""

from __future__ import annotations

import importlib
import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
import train_runs as tiny
import train_toys as toys
from safetensors.torch import load_file, save_file
from torch import nn

from binarize import api, estimators
from binarize.data import Unlabelled
from binarize.errors import DataError, RecipeError, RunError, TrainingError
from binarize.layers import StepBinarizer, WeightBinarizer, binarize_weight, scale
from binarize.recipe import Recipe, load
from binarize.rewrite import Converted, Options, SourceOptions
from binarize.run import RunInfo, open_run, write_json
from binarize.run.fit import FitRecord
from binarize.training.prepare import Prepared
from binarize.training.start import as_section, start

starting = importlib.import_module(
    "binarize.training.start"
)  # the package has its function under this name
OPTIMIZER = {"name": "momentum", "lr": 0.05}
FIT = FitRecord(images=1, steps=1, seconds=0.0, error_before=1.0, error_after=0.5)


def stage(**keys: Any) -> dict[str, Any]:
    return {"epochs": 1, "optimizer": OPTIMIZER, **keys}


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run made by convert, with random weights."""
    path = tmp_path_factory.mktemp("converted") / "run"
    source = SourceOptions(pretrained=False, img_size=8, kwargs=tiny.SMALLER)
    api.convert_to_run(tiny.MODEL, Options(estimator="ede"), source, out=path)
    return path


@pytest.fixture(scope="module")
def begun(converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path[Path]:
    """A training of that run with a float baseline and three stages, of images in a relative folder."""
    folder = tmp_path_factory.mktemp("begun")
    stages = [stage(), stage(estimator="ste"), stage(estimator="dsq")]
    recipe = tiny.recipe(
        stages=stages,
        twin=True,
        model={"name": "resnet18", "pretrained": False},
        data={"dir": "images"},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = start(recipe, "tiny", converted, None, tiny.Told())
    assert made == Path("runs") / f"{tiny.MODEL}-tiny"
    return folder / made


class TestWritten:
    def test_all_that_the_training_needs(self, begun):
        names = {str(file.relative_to(begun)) for file in begun.rglob("*") if file.is_file()}
        assert names == {
            *("run.json", "summary.json", "env.json", "recipe.resolved.yaml"),
            *("initial/model.safetensors", "twin/run.json"),
        }
        versions = json.loads((begun / "env.json").read_text())["versions"]
        assert versions["torch"] == version("torch")
        totals = json.loads((begun / "summary.json").read_text())["totals"]
        assert 0 < totals["bytes_packed"] < totals["bytes_float"]
        assert open_run(begun / "twin").info.conversion is None

    def test_the_run_is_described_by_the_estimator_that_it_ends_with(self, begun):
        assert open_run(begun).info.conversion.estimator.name == "dsq"
        initial = load_file(begun / "initial" / "model.safetensors")
        assert any(key.endswith("theta") for key in initial)

    def test_the_folder_of_the_images_is_absolute_and_the_model_is_the_run(self, begun):
        recipe, folder = load(begun / "recipe.resolved.yaml"), str(begun.parents[1] / "images")
        assert (recipe.data.dir, recipe.data.img_size, recipe.model) == (folder, 8, None)
        assert open_run(begun).info.data.to_json() == {"name": "digits", "dir": folder}
        assert recipe.binarize.estimator.name == "ede"
        assert recipe.twin

    def test_without_a_folder_none_is_named(self, tmp_path, converted):
        told = tiny.Told()
        made = start(tiny.recipe(1), "tiny", converted, tmp_path / "run", told)
        assert made == tmp_path / "run"
        assert open_run(made).info.data.to_json() == {"name": "digits", "dir": None}
        assert not (made / "twin").exists()
        assert not told.heard("stays float")

    def test_a_float_model_says_so_and_has_no_baseline(self, tmp_path, begun):
        shutil.copytree(begun / "twin", tmp_path / "float")
        weights = {
            key: value
            for key, value in load_file(begun / "initial" / "model.safetensors").items()
            if "binarizer" not in key
        }
        save_file(weights, tmp_path / "float" / "model.safetensors")
        told = tiny.Told()
        recipe = tiny.recipe(stages=[stage(estimator="ste")], twin=True)
        made = start(recipe, "tiny", tmp_path / "float", tmp_path / "run", told)
        assert told.heard("the model stays float")
        assert not (made / "twin").exists()
        assert open_run(made).info.conversion is None
        assert load(made / "recipe.resolved.yaml").binarize is None


class TestRefused:
    """Before anything is written."""

    def refused(self, tmp_path: Path, kind: type[Exception], words: str, recipe: Recipe) -> None:
        with pytest.raises(kind, match=words):
            start(recipe, "tiny", None, tmp_path / "run", tiny.Told())
        assert list(tmp_path.iterdir()) == []

    def test_a_stage_that_cannot_begin(self, tmp_path):
        stages = [stage(), stage(optimizer={"name": "nosuch", "lr": 0.1})]
        recipe = tiny.recipe(stages=stages, **tiny.BINARY)
        self.refused(tmp_path, RecipeError, "cannot make the optimiser", recipe)

    def test_random_weights_teach_nothing(self, tmp_path):
        stages = [stage(), stage(distill={"teacher": "float"})]
        recipe = tiny.recipe(stages=stages, **tiny.BINARY)
        self.refused(tmp_path, TrainingError, r"stages\.1\.distill .* random weights", recipe)

    @pytest.mark.parametrize(
        ("data", "kind", "words"),
        [
            ({"batch_size": 2000}, TrainingError, "fewer training images"),
            ({"augment": {"auto_augment": "nosuch"}}, DataError, "no augmentation"),
            (
                {"augment": {"auto_augment": "rand-m9"}, "cache": "device"},
                DataError,
                "data.cache device",
            ),
            ({"name": "folder", "dir": "nosuch"}, DataError, "nosuch"),
        ],
        ids=["batch", "augmentation", "cache", "folder"],
    )
    def test_data(self, tmp_path, data, kind, words):
        self.refused(tmp_path, kind, words, tiny.recipe(data=data, **tiny.BINARY))


def test_the_classes_are_those_of_the_training_images_and_both_splits_are_opened(monkeypatch):
    opened, progress = [], tiny.Told()

    class Images(list[int]):
        classes = ("cat", "dog")

    def open_dataset(
        config: Any, split: str, classes: Any = None, *, say: Any, progress: Any
    ) -> Images:
        assert not config.cache
        say(f"opened {split}")
        opened.append((split, classes))
        return Images(range(256))

    monkeypatch.setattr(starting, "open_dataset", open_dataset)
    recipe, classes = starting._with_labels(tiny.recipe(), progress)
    assert (recipe.data.labels, classes) == (True, ["cat", "dog"])
    assert opened == [("train", None), ("test", ["cat", "dog"])]
    assert progress.said == ["opened train", "opened test"]


FOLLOWING = stage(
    distill={"teacher": "float", "weight": 0.0, "features": 1.0, "labels": False}
)  # learns from no label


class TestLabels:
    def test_what_needs_them(self):
        other = stage(distill={"teacher": "resnet18", "labels": False})

        def needs(*stages: dict[str, Any], twin: bool) -> str | None:
            return starting._needs_labels(tiny.recipe(stages=list(stages), twin=twin))

        assert needs(FOLLOWING, other, twin=False) is None
        assert needs(FOLLOWING, stage(), twin=False) == "stages.1 learns from labels"
        assert needs(other, twin=True) is None
        assert needs(other, FOLLOWING, twin=True) == "the float baseline learns from labels"

    @pytest.fixture
    def decided(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """What becomes of a recipe whose images have no labels: (data.labels, classes, what is said)."""

        def open_dataset(config: Any, split: str, *_: Any, **__: Any) -> Any:
            if config.labels:
                raise Unlabelled("there is one class", "sort them")
            return type("Images", (list,), {"classes": ["one"]})(range(256))

        def decide(*stages: dict[str, Any], **data: Any) -> tuple[Any, ...]:
            data, told = {"name": "folder", "dir": "images", **data}, tiny.Told()
            recipe = tiny.recipe(stages=list(stages) or [FOLLOWING], data=data)
            recipe, classes = starting._with_labels(recipe, told)
            return recipe.data.labels, classes, told.said

        monkeypatch.setattr(starting, "open_dataset", open_dataset)
        return decide

    def test_without_them_there_are_no_classes(self, decided):
        said = "the images have no labels, and no stage needs them"
        assert decided() == (False, None, [said])
        assert decided(labels=False) == (False, None, [])

    @pytest.mark.parametrize("data", [{"labels": True}, {"name": "cifar10"}])
    def test_only_a_folder_that_may_have_none_has_none(self, decided, data):
        with pytest.raises(Unlabelled) as caught:
            decided(**data)
        assert caught.value.message == "there is one class"

    def test_a_stage_that_needs_them_says_so(self, decided):
        with pytest.raises(DataError) as caught:
            decided(stage())
        assert caught.value.message == "there is one class, and stages.0 learns from labels"
        assert caught.value.hint.startswith("sort them; without labels: ")


class TestStages:
    def check(self, *stages: dict[str, Any], inputs: bool = False, **sections: Any) -> None:
        model = nn.Sequential(nn.Conv2d(3, 4, 3))
        binarizer = WeightBinarizer(estimators.get("ste"), scale.get("channel"))
        binarize_weight(model[0], "weight", binarizer, StepBinarizer(3, -3) if inputs else None)
        starting._check_stages(toys.recipe(*stages, **sections), model)

    def test_binary_inputs_alone_need_binary_inputs(self):
        weights, inputs = stage(binary="weights"), stage(binary="activations")
        self.check(weights, stage())
        self.check(weights, inputs, stage(), inputs=True)
        with pytest.raises(TrainingError, match=r"stages\.1\.binary is activations"):
            self.check(weights, inputs, stage())

    def test_mixed_images_need_pairs(self):
        self.check(stage(mixup=0.2))
        with pytest.raises(TrainingError, match=r"need an even batch.* 15 images"):
            self.check(stage(), stage(mixup=0.2), data={"batch_size": 15})


def prepared(info: RunInfo, parent: Path | None = None) -> Prepared:
    """A training that begins with a run; nobody asks for its module."""
    return Prepared(Converted(None, info), parent, same=True, anew="")


def test_a_fitted_run_needs_no_stage_that_would_fit_it(converted):
    info, told = open_run(converted).info, tiny.Told()
    recipe = toys.recipe(stage(skip_if="fitted", name="fit"), stage(skip_if="fitted"), stage())
    assert starting._without_skipped(recipe, prepared(info), told) == recipe
    assert told.said == []
    left = starting._without_skipped(recipe, prepared(info.replace(fit=FIT)), told)
    assert left.stages == recipe.stages[2:]
    why = "is skipped: the run is fitted to its float model already"
    assert told.said == [f'stage "fit" {why}', f"stage 2 {why}"]


class TestTeachers:
    @pytest.fixture
    def fitted(self, converted, tmp_path) -> tuple[Path, RunInfo]:
        """A run that was fitted to a float model which is not kept."""
        run = tmp_path / "fitted"
        shutil.copytree(converted, run)
        shutil.rmtree(run / "float", ignore_errors=True)
        content = json.loads((run / "run.json").read_text())
        content |= {"weights": "pretrained", "fit": FIT.to_json()}
        (run / "run.json").write_text(json.dumps(content))
        return run, open_run(run).info

    def check(self, fitted: tuple[Path, RunInfo], teacher: str | None, **sections: Any) -> None:
        run, info = fitted
        distill = {} if teacher is None else {"distill": {"teacher": teacher}}
        starting._check_teachers(toys.recipe(stage(**distill), **sections), prepared(info), run)

    def test_the_float_parent_has_to_be_there(self, fitted):
        self.check(fitted, None)
        self.check(fitted, "resnet18")
        self.check(fitted, "float", twin=True)
        with pytest.raises(RunError, match="whose weights it does not keep"):
            self.check(fitted, "float")

    def test_a_run_that_was_not_fitted_is_its_own(self, fitted):
        run, info = fitted
        (run / "model.safetensors").unlink()  # nobody asks for it
        self.check((run, info.replace(fit=None)), "float")

    def test_a_parent_that_was_kept_is_taken_along(self, fitted):
        run, info = fitted
        recipe = toys.recipe(stage())
        assert starting._parent(recipe, prepared(info)) is None
        (run / "float").mkdir()
        weights = load_file(run / "model.safetensors")
        weights["fc.bias"] += 3
        parent = run / "float" / "model.safetensors"
        save_file(weights, parent)
        kept = starting._parent(recipe, prepared(info, parent))
        assert torch.equal(kept["fc.bias"], weights["fc.bias"])
        self.check(fitted, "float")

    def test_and_lies_in_the_new_run(self, fitted, tmp_path):
        run, _ = fitted
        (run / "float").mkdir()
        shutil.copy(run / "model.safetensors", run / "float")
        info = json.loads((run / "run.json").read_text())
        made = start(tiny.recipe(1), "tiny", run, tmp_path / "run", tiny.Told())
        assert open_run(made).info.fit.to_json() == info["fit"]
        kept, parent = (load_file(each / "float" / "model.safetensors") for each in (made, run))
        assert toys.same(kept, parent)


class TestSensitivity:
    @pytest.fixture
    def sensed(self, converted, tmp_path) -> Path:
        """A run whose float weights are kept, with what one of its layers costs."""
        run = tmp_path / "sensed"
        shutil.copytree(converted, run)
        (run / "float").mkdir(exist_ok=True)
        shutil.copy(run / "model.safetensors", run / "float")
        write_json(run / "sensitivity.json", {"model": "tiny", "images": 8, "layers": []})
        return run

    def test_it_is_taken_along_where_it_describes_the_network(self, sensed, tmp_path):
        made = start(tiny.recipe(1), "tiny", sensed, tmp_path / "same", tiny.Told())
        assert open_run(made).sensitivity == open_run(sensed).sensitivity
        recipe = tiny.recipe(1, binarize={"scale": "layer"})
        made = start(recipe, "tiny", sensed, tmp_path / "other", tiny.Told())
        assert open_run(made).sensitivity is None

    def test_not_where_the_float_weights_are_not_kept(self, sensed, tmp_path):
        shutil.rmtree(sensed / "float")
        made = start(tiny.recipe(1), "tiny", sensed, tmp_path / "run", tiny.Told())
        assert open_run(made).sensitivity is None

    def test_a_damaged_one_is_said_and_stays_behind(self, sensed, tmp_path):
        (sensed / "sensitivity.json").write_text("{}")
        heard = tiny.Told()
        made = start(tiny.recipe(1), "tiny", sensed, tmp_path / "run", heard)
        assert not (made / "sensitivity.json").exists()
        assert heard.heard('sensitivity.json" is damaged')


def test_a_section_is_for_what_was_binarized(begun):
    info = open_run(begun).info
    assert as_section(info).estimator.name == "dsq"
    assert as_section(info.undone()) is None
    nothing = info.conversion.replace(parameters=[])
    assert as_section(info.replace(conversion=nothing)) is None


def test_a_run_without_binary_weights_keeps_its_record(begun):
    """The stage's estimator is nobody's."""
    info = open_run(begun).info
    nothing = info.replace(conversion=info.conversion.replace(parameters=[]))
    recipe, conversion = tiny.recipe(stages=[stage(estimator="ste")]), Any
    for before in (nothing, info.undone()):
        after = starting._ending_with(recipe.stages[-1], recipe, conversion, before)
        assert (after.conversion, after.info) == (conversion, before)


def test_without_an_estimator_of_its_own_the_last_stage_changes_nothing(begun):
    info, recipe = open_run(begun).info, tiny.recipe(1)
    assert starting._ending_with(recipe.stages[-1], recipe, Any, info).info == info
