"""What is trained of a run, with which weights, and what is said in the end: the trainer is a stand-in."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import train_runs as tiny
from safetensors.torch import load_file, save_file
from torch import Tensor

from binarize.data import train_loader
from binarize.errors import CheckpointError, DataError, RunError
from binarize.layers import binary_weights
from binarize.recipe.schema import Distill
from binarize.run import open_run
from binarize.training import checkpoint, resume
from binarize.training.device import make_accelerator
from binarize.training.phase import Phase
from binarize.training.start import start
from binarize.training.training_state import TrainingState

STEPS, EPOCHS = 5, 2
PHASES = ["float baseline", "binarized"]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training with a float baseline, before its first step."""
    path = tmp_path_factory.mktemp("begun") / "run"
    return start(tiny.recipe(EPOCHS, twin=True, **tiny.BINARY), "tiny", None, path, tiny.Told())


@pytest.fixture
def run(begun: Path, tmp_path: Path) -> Path:
    """One of the test's own."""
    return Path(shutil.copytree(begun, tmp_path / "run"))


def state_of(name: str, epochs: int = EPOCHS) -> TrainingState:
    """What the trainer of these tests reaches in a phase."""
    binary = name == "binarized"
    top1 = 61.23456 if binary else 71.98765
    return TrainingState(
        epochs=epochs,
        trained=epochs,
        per_epoch=STEPS,
        top1=top1,
        top5=95.55555,
        best_top1=top1 + 0.11111,
        best_epoch=1 if binary else 2,
        seconds=1.26 if binary else 2.06,
    )


def save(directory: Path, name: str, epochs: int = EPOCHS) -> None:
    checkpoint.save(
        directory / "last",
        checkpoint.Checkpoint({"a": torch.ones(1)}, None, None, asdict(state_of(name, epochs))),
    )


class Trainer:
    """Trains in no time. Keeps the phases that it was given, and the weights that they began with."""

    def __init__(self) -> None:
        self.phases: list[Phase] = []
        self.weights: list[dict[str, Tensor]] = []

    def train(self, phase: Phase) -> TrainingState:
        self.phases.append(phase)
        self.weights.append({k: v.clone() for k, v in phase.model.state_dict().items()})
        save(phase.directory, phase.name)
        return state_of(phase.name)


def go_on(
    path: Path, monkeypatch: pytest.MonkeyPatch, main: bool = True
) -> tuple[resume.TrainResult, Trainer, tiny.Told]:
    trainer, told, training = Trainer(), tiny.Told(), resume.open_training(path)
    waits: list[bool] = []
    accelerator: Any = SimpleNamespace(
        is_main_process=main, wait_for_everyone=lambda: waits.append(True)
    )

    def make(*given: Any) -> Trainer:
        assert given == (training, accelerator, told)
        return trainer

    monkeypatch.setattr(resume, "_trainer", make)
    return resume.go_on(training, accelerator, told), trainer, told


def without_added(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in weights.items() if "_binarizer" not in key}


def holds(weights: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return weights.keys() == expected.keys() and all(
        torch.equal(weights[key], expected[key]) for key in expected
    )


class TestGoingOn:
    def test_both_phases_begin_with_the_initial_weights(self, run, monkeypatch):
        initial = load_file(run / "initial" / "model.safetensors")
        result, trainer, told = go_on(run, monkeypatch)
        assert [phase.name for phase in trainer.phases] == PHASES
        assert [phase.directory for phase in trainer.phases] == [run / "twin", run]
        assert [len(list(binary_weights(phase.model))) for phase in trainer.phases] == [0, 6]
        assert holds(trainer.weights[0], without_added(initial))
        assert holds(trainer.weights[1], initial)
        assert not (run / "initial").exists()
        assert not told.heard("finished")
        assert result == resume.TrainResult(
            *(str(run), 2, 61.235, 95.556, 61.346, 1),
            top1_float=71.988,
            seconds=3.3,
            weights="random",
        )

    def test_a_baseline_begins_with_the_float_parent(self, run, monkeypatch):
        initial = load_file(run / "initial" / "model.safetensors")
        parent = {key: value + 1 for key, value in without_added(initial).items()}
        (run / "float").mkdir()
        save_file(parent, run / "float" / "model.safetensors")
        _, trainer, _ = go_on(run, monkeypatch)
        assert holds(trainer.weights[0], parent)
        assert holds(trainer.weights[1], initial)

    def test_what_is_done_is_not_done_again(self, run, monkeypatch):
        save(run / "twin", "float baseline")
        result, trainer, _ = go_on(run, monkeypatch)
        assert [phase.name for phase in trainer.phases] == PHASES[1:]
        assert (result.top1_float, result.seconds) == (71.988, 3.3)
        again, trainer, told = go_on(run, monkeypatch)
        assert again == result
        assert not trainer.phases
        assert told.heard(f"run {run} is finished")

    def test_a_phase_with_a_checkpoint_is_left_to_it(self, run, monkeypatch):
        """The weights are the checkpoint's, which the trainer reads; their file bounds the network's size."""
        built, original = [], resume.build_named

        def build(info: Any, file: Path, weights: Path) -> Any:
            built.append((file, weights))
            return original(info, file, weights)

        save(run / "twin", "float baseline", 1)
        (run / "float").mkdir()
        (run / "float" / "model.safetensors").write_text("nobody reads it")
        initial = run / "initial" / "model.safetensors"
        monkeypatch.setattr(resume, "build_named", build)
        _, trainer, _ = go_on(run, monkeypatch)
        assert [phase.name for phase in trainer.phases] == PHASES
        assert built == [
            (run / "twin" / "run.json", run / "twin" / "last" / "model.safetensors"),
            (run / "run.json", initial),
        ]

    @pytest.mark.parametrize("main", [True, False])
    def test_the_first_process_alone_tidies_up(self, run, monkeypatch, main):
        for directory in (run, run / "twin"):
            (directory / ".last.part").mkdir()
        go_on(run, monkeypatch, main)
        left = [(run / name).exists() for name in (".last.part", "twin/.last.part", "initial")]
        # the trainer itself removes the first two before it writes there
        assert left == [False, False, not main]

    def test_what_was_cut_short_is_put_back_first(self, run, monkeypatch):
        for directory, name in ((run, "binarized"), (run / "twin", "float baseline")):
            save(directory, name)
            (directory / "last").rename(directory / ".last.old")
        _, trainer, told = go_on(run, monkeypatch)
        assert not trainer.phases
        assert told.heard("finished")

    def test_another_process_leaves_that_to_the_first(self, run, monkeypatch):
        save(run, "binarized")
        (run / "last").rename(run / ".last.old")
        _, trainer, _ = go_on(run, monkeypatch, main=False)
        assert [phase.name for phase in trainer.phases] == PHASES

    def test_without_checkpoint_and_initial_weights_nothing_can_be_trained(self, run, monkeypatch):
        shutil.rmtree(run / "initial")
        with pytest.raises(CheckpointError, match="neither a checkpoint nor its initial weights"):
            go_on(run, monkeypatch)

    def test_what_is_wrong_with_the_data_is_said_of_the_run(self, run, monkeypatch):
        def no_images(*_: Any) -> None:
            raise DataError("there are no images", "look for them")

        monkeypatch.setattr(resume, "_trainer", no_images)
        accelerator: Any = SimpleNamespace(is_main_process=True, wait_for_everyone=lambda: None)
        with pytest.raises(DataError, match='run": there are no images') as caught:
            resume.go_on(resume.open_training(run), accelerator, tiny.Told())
        assert caught.value.hint == "look for them"


class TestOpening:
    def test_a_baseline_means_its_run(self, run):
        assert resume.open_training(run / "twin").run.path == run
        assert resume.open_training(str(run)).run.path == run

    def test_a_run_that_is_only_called_like_one_is_itself(self, run, tmp_path):
        shutil.copytree(run / "twin", tmp_path / "other" / "twin")
        with pytest.raises(RunError, match='twin" was not made by train'):
            resume.open_training(tmp_path / "other" / "twin")

    def test_a_run_within_a_training_is_itself(self, run):
        shutil.copytree(run / "twin", run / "mine")
        with pytest.raises(RunError, match='mine" was not made by train'):
            resume.open_training(run / "mine")

    def test_the_images_may_have_moved(self, run):
        assert resume.open_training(run).recipe.data.dir is None
        moved = resume.open_training(run, Path("elsewhere")).recipe
        assert (moved.data.dir, moved.data.img_size) == ("elsewhere", 8)

    def test_a_float_model_has_no_baseline(self, run):
        training = resume.open_training(run)
        places = [(name, path) for name, path, _ in training.phases]
        assert places == [("float baseline", run / "twin"), ("binarized", run)]
        assert [info.binary for *_, info in training.phases] == [False, True]
        alone = replace(training, info=training.info.undone())
        assert [(name, path) for name, path, _ in alone.phases] == [("float model", run)]
        once = replace(training, recipe=training.recipe.model_copy(update={"twin": False}))
        assert [name for name, *_ in once.phases] == PHASES[1:]


class TestFinished:
    def test_it_is_when_the_plan_is_done(self, run):
        recipe = resume.open_training(run).recipe
        assert resume.finished(run, recipe) is None
        save(run, "binarized", 1)
        assert resume.finished(run, recipe) is None
        save(run, "binarized", EPOCHS)
        assert resume.finished(run, recipe) == state_of("binarized")

    @pytest.mark.parametrize("epochs", [0, EPOCHS + 1])
    def test_what_cannot_be_is_damage(self, run, epochs):
        save(run, "binarized", epochs)
        with pytest.raises(CheckpointError, match=f"says that {epochs} of {EPOCHS} epochs"):
            resume.finished(run, resume.open_training(run).recipe)


def test_without_a_baseline_the_result_names_none():
    result = resume.result(Path("run"), [state_of("binarized")], labelled=True)
    assert result.as_json() == {
        **{"run": "run", "epochs": 2, "top1": 61.235, "top5": 95.556},
        **{
            "top1_best": 61.346,
            "epoch_best": 1,
            "seconds": 1.3,
            "top1_on": "test",
            "weights": "",
            "random": (),
        },
    }
    both = resume.result(
        Path("run"), [state_of("float baseline"), state_of("binarized")], labelled=True
    )
    assert both.as_json() == {**result.as_json(), "top1_float": 71.988, "seconds": 3.3}


class TestTeacher:
    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        given: list[Any] = []
        monkeypatch.setattr(resume, "make_teacher", lambda *a: given.append(a) or "a teacher")
        return given

    def phase(self, begun: Path, directory: Path) -> Phase:
        training = resume.open_training(begun)
        model: Any = torch.nn.Linear(1, 1)
        return resume._phase(training, "name", directory, training.info, model)

    def test_a_baseline_does_not_learn_from_itself(self, begun, asked):
        baseline, binarized = (self.phase(begun, path) for path in (begun / "twin", begun))
        from_float, from_other = Distill(teacher="float"), Distill(teacher="resnet18")
        assert baseline.teacher(from_float) is None
        assert baseline.teacher(from_other) == "a teacher"
        assert binarized.teacher(from_float) == "a teacher"
        assert binarized.teacher(from_other) == "a teacher"
        info = open_run(begun).info
        assert asked == [(each, begun, info) for each in (from_other, from_float, from_other)]
        assert (binarized.name, binarized.directory) == ("name", begun)


class TestImages:
    def trainer(self, begun: Path, holdout: int = 0, **changes: Any) -> Any:
        training = resume.open_training(begun)
        data = training.recipe.data.model_copy(update={"holdout": holdout, "cache": False})
        training = replace(
            training,
            recipe=training.recipe.model_copy(update={"data": data}),
            info=training.info.replace(**changes),
        )
        accelerator = make_accelerator(training.recipe.engine, 256)
        return resume._trainer(training, accelerator, tiny.Told())

    def test_those_that_are_held_out_choose(self, begun):
        all_of_them, fewer = self.trainer(begun), self.trainer(begun, 200)
        assert (all_of_them.classes, all_of_them.per_epoch) == (10, STEPS)
        assert all_of_them.loaders.selection is all_of_them.loaders.test
        assert len(fewer.loaders.selection.dataset) == 200
        assert fewer.loaders.selection is fewer.loaders.held_out

    def test_without_labels_all_are_of_one_class(self, begun, monkeypatch):
        def any_images(data: Any, images: Any, classes: list[str]) -> Any:
            assert classes == []
            return train_loader(data, images)

        monkeypatch.setattr(resume, "test_loader", any_images)
        assert self.trainer(begun, classes=[]).classes == 1

    def test_the_classes_are_the_models(self, begun):
        with pytest.raises(DataError):
            self.trainer(begun, classes=[f"class {number}" for number in range(10)])


def test_a_checkpoint_says_where_it_is_damaged(run):
    save(run, "binarized")
    path = run / "last" / "training.json"
    content = json.loads(path.read_text())
    content["place"] = {"epochs": 1}
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=str(run / "last")):
        resume.finished(run, resume.open_training(run).recipe)
