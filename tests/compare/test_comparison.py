"""The sweep as a whole, with a stand-in for `train`; one real interruption at the end."""

from __future__ import annotations

import json

import compare_sweeps as sweeps
import pytest

from binarize.comparing import compare
from binarize.comparing import trial as trials
from binarize.errors import BinarizeError, DataError, EstimatorError, TrainingError
from binarize.progress import Progress
from binarize.reporting import curves
from binarize.run.lock import held
from binarize.training import checkpoint

DIVERGED = TrainingError("the loss is no longer a number in epoch 1", "lower the learning rate")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweeps.recipe_file(tmp_path)


@pytest.fixture
def trainings(monkeypatch):
    stand_in = sweeps.Trainings()
    monkeypatch.setattr(trials, "train", stand_in)
    monkeypatch.setattr("binarize.comparing.comparison.can_draw", lambda: False)
    return stand_in


def go(variants="float,ste", seeds=2, **more):
    return compare("tiny.yaml", variants, seeds, out="grid", **more)


def test_seed_by_seed_over_all_variants(trainings):
    comparison = go("float,ste,ede")
    order = [(variant, seed) for seed in (0, 1) for variant in ("float", "ste", "ede")]
    assert [call[:2] for call in trainings.calls] == order
    assert [line.test_top1 for line in comparison.lines] == [90.5, 80.5, 80.5]
    assert comparison.lines[1].gap_to_float == -10
    assert comparison.example == "grid/cells/ste-seed0"
    assert comparison.failed == []


def test_what_is_finished_is_never_trained_again(trainings):
    first = go()
    assert len(trainings.calls) == 4
    assert go().as_json() == first.as_json()
    assert compare(out="grid").as_json() == first.as_json()
    assert len(trainings.calls) == 4


def test_variants_and_seeds_can_be_added(trainings):
    go("float,ste", 1)
    trainings.calls.clear()
    comparison = go("float,ste,ede", 2)
    assert trainings.calls == [
        ("ede", 0, "new"),
        ("float", 1, "new"),
        ("ste", 1, "new"),
        ("ede", 1, "new"),
    ]
    assert [line.n for line in comparison.lines] == [2, 2, 2]


def test_an_interrupted_trial_is_resumed(trainings):
    trainings.fails = {("ste", 0): KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        go()
    assert trainings.calls == [("float", 0, "new"), ("ste", 0, "new")]
    trainings.calls.clear()
    assert [line.n for line in go().lines] == [2, 2]
    assert trainings.calls == [("ste", 0, "resumed"), ("float", 1, "new"), ("ste", 1, "new")]


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (DIVERGED, DIVERGED.message),
        (RuntimeError("out of\n memory"), "unexpected RuntimeError: out of memory"),
    ],
)
def test_a_trial_that_fails_is_recorded_and_the_sweep_goes_on(trainings, problem, words):
    trainings.fails = {("ste", 0): problem}
    comparison = go()
    assert len(trainings.calls) == 4
    (failed,) = comparison.failed
    assert (failed.arm, failed.seed, failed.error) == ("ste", 0, words)
    assert [(line.n, line.failed) for line in comparison.lines] == [(2, 0), (1, 1)]
    trainings.calls.clear()
    assert go().failed == []  # another try
    assert trainings.calls == [("ste", 0, "resumed")]


@pytest.mark.parametrize("problem", [DataError("no images", "look"), OSError(28, "full")])
def test_what_is_wrong_everywhere_stops_the_sweep(trainings, problem):
    trainings.fails = {("ste", 0): problem}
    with pytest.raises(type(problem)):
        go()
    assert len(trainings.calls) == 2
    assert len(go().records) == 4


def test_data_that_is_not_there_leaves_nothing_behind(tmp_path):
    before = sorted(tmp_path.iterdir())
    changes = ["data.name=folder"]
    with pytest.raises(DataError):
        compare("tiny.yaml", "ste", out="grid", overrides=changes, data_dir="nowhere")
    assert sorted(tmp_path.iterdir()) == before


def test_an_unknown_variant_or_a_bad_constant_is_found_before_anything_is_written(
    trainings, tmp_path
):
    for variants in ("float,stee", "float,ab-tanh:k_end=-1"):
        with pytest.raises(EstimatorError):
            go(variants)
    assert not (tmp_path / "grid").exists()
    assert trainings.calls == []


@pytest.mark.parametrize(
    ("more", "message", "hint"),
    [
        ({"overrides": ["stages.0.epochs=3"]}, "has stages.0.epochs = 2, not 3", "-o"),
        ({"target": "cifar_resnet56"}, "trains its recipe's model, not cifar_resnet56", "-o"),
        ({"variants": "float,ede"}, "has the variant ste, which is", "--estimators float,ste,ede"),
        ({"seeds": 1}, "has 2 seeds, not 1", "--seeds 2"),
    ],
)
def test_another_comparison_in_the_same_directory_is_refused(trainings, more, message, hint):
    go()
    trainings.calls.clear()
    with pytest.raises(BinarizeError) as caught:
        go(**more)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert trainings.calls == []


def test_a_recipe_that_was_edited_is_another_one(trainings, tmp_path):
    go()
    sweeps.recipe_file(tmp_path, data={**sweeps.CONTENTS["data"], "dir": "moved"})
    go()
    sweeps.recipe_file(tmp_path, data={**sweeps.CONTENTS["data"], "batch_size": 128})
    with pytest.raises(BinarizeError, match=r"data\.batch_size = 256, not 128"):
        go()


def test_a_directory_of_something_else_stays_as_it_is(trainings, tmp_path):
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid" / "thesis.txt").write_text("mine")
    with pytest.raises(BinarizeError, match="not the directory of a comparison"):
        go()
    (tmp_path / "grid" / "compare.json").write_text('{"format": 99}')
    with pytest.raises(BinarizeError, match="another version"):
        go()
    assert trainings.calls == []


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        *(("seeds", 1 << 63, "seeds: "), ("seeds", 0, "seeds: "), ("arms", 3, "arms: ")),
        *(("contents", [], "contents: "), ("created", "x", "created: ")),
        *(("arms", ["zzz"], 'no estimator "zzz"'), ("contents", {"stages": 3}, "stages")),
        ("contents", {"data": "digits"}, "stages is missing"),
    ],
)
def test_a_damaged_manifest_is_one_sentence(trainings, tmp_path, field, value, said):
    go()
    path = tmp_path / "grid" / "compare.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(BinarizeError, match=r'grid/compare.json" is damaged') as refusal:
        compare(out="grid")
    assert said in refusal.value.message


@pytest.mark.parametrize("text", ["[" * 10_000, "[]", "\0"])
def test_a_manifest_that_is_none(tmp_path, text):
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid" / "compare.json").write_text(text)
    with pytest.raises(BinarizeError, match=r'grid/compare.json" is damaged'):
        compare(out="grid")


@pytest.mark.parametrize(
    "change",
    [
        *({"result": {}}, {"result": 3}, {"arm": None}, {"seed": []}, {"error": 5}),
        {"result": {"run": "x", "top1": "high", "top1_best": 1, "epochs": 1, "seconds": 1}},
    ],
)
def test_a_trial_with_a_damaged_record_is_tried_again(trainings, tmp_path, change):
    first = go("ste", 1)
    path = tmp_path / "grid" / "cells" / "ste-seed0.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    again = compare(out="grid")
    assert len(trainings.calls) == 2
    assert again.records == first.records


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({}, "no recipe"), ({"recipe": "tiny.yaml"}, "no estimator is named")],
)
def test_something_has_to_be_said(arguments, message):
    with pytest.raises(BinarizeError, match=message):
        compare(**arguments)


def test_it_is_not_started_by_a_launcher(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BinarizeError, match="starts its trainings itself"):
        go()


def test_a_trial_that_another_process_is_at_is_left_to_it(trainings, tmp_path):
    said = []

    class Listening(Progress):
        def say(self, text):
            said.append(text)

    with held(tmp_path / "grid" / "cells" / "ste-seed0.lock"):
        (tmp_path / "grid" / "compare.json").write_text(_manifest())
        comparison = go(progress=Listening())
    assert comparison.left == ["ste-seed0"]
    assert "ste, seed 0: another process is training it" in said
    assert ("ste", 0, "new") not in trainings.calls
    assert len(trainings.calls) == 3
    assert go().left == []


def _manifest():
    from dataclasses import asdict

    from binarize.comparing.sweep import Manifest, set_keys
    from binarize.recipe import load

    contents = set_keys(load("tiny.yaml"))
    return json.dumps(asdict(Manifest("tiny.yaml", contents, [], None, ["float", "ste"], 2)))


def test_the_table_is_written_after_every_trial(trainings, tmp_path):
    seen = []

    class Listening(Progress):
        def say(self, text):
            if "top-1" in text:
                seen.append((tmp_path / "grid" / "table.csv").read_text().count("\n"))
                seen.append(len(list((tmp_path / "grid" / "cells").glob("*.json"))))

    go(progress=Listening())
    assert seen == [3, 1, 3, 2, 3, 3, 3, 4]


def test_a_trial_tells_its_tasks_and_warnings_under_its_title(trainings):
    heard = []

    class Listening(Progress):
        def task(self, what, total=None, done=0):
            heard.append((what, total, done))

        def update(self, done, note=""):
            heard.append((done, note))

        def warn(self, text, hint=""):
            heard.append(text)

    def tell(progress):
        progress.task("binarized", 9, 3)
        progress.update(4, "loss 1")
        progress.say("the classifier starts anew")
        progress.warn("an input hardly ever changes")

    trainings.tell = tell
    go(seeds=1, progress=Listening())
    title = "ste, seed 0 (2/2)"
    assert heard[3:] == [
        (title, None, 0),
        (title, 9, 3),
        (4, "loss 1"),
        f"{title}: an input hardly ever changes",
    ]
    assert "float, seed 0 (1/2): an input hardly ever changes" not in heard


def test_estimators_that_no_variant_replaces_are_warned_of(trainings):
    warned = []

    class Listening(Progress):
        def warn(self, text, hint=""):
            warned.append(text)

    go(overrides=["stages.0.estimator=ede"], progress=Listening())
    assert warned == ["the recipe sets stages.0.estimator, which is the same in every variant"]


def test_without_matplotlib_there_is_a_table_and_one_sentence(trainings, tmp_path):
    comparison = go()
    assert comparison.note == curves.NEEDS_PLOT
    assert comparison.files == ["grid/table.csv"]
    assert not (tmp_path / "grid" / "report.html").exists()


class Epochs(Progress):
    """Notes every epoch that is trained, as (title of its trial, number); presses Ctrl-C in one of them."""

    def __init__(self, stop=None):
        self.stop, self.title, self.seen = stop, "", []

    def task(self, what, total=None, done=0):
        self.title = what

    def update(self, done, note=""):
        now = (self.title, note.partition(",")[0])
        if now not in self.seen:
            self.seen.append(now)
        if now == self.stop:
            raise KeyboardInterrupt


def test_real_trainings_interrupted_and_gone_on_with(tmp_path):
    first = Epochs(stop=("ste:standardise=false, seed 0 (2/2)", "epoch 2/2"))
    variants = "float,ste:standardise=false"
    with pytest.raises(KeyboardInterrupt):
        go(variants, 1, overrides=["data.holdout=100"], progress=first)
    second = Epochs()
    comparison = compare(out="grid", progress=second)
    assert second.seen == [("ste:standardise=false, seed 0 (1/1)", "epoch 2/2")]
    assert [line.n for line in comparison.lines] == [1, 1]
    assert comparison.lines[0].flip_ratio is None
    assert comparison.lines[1].flip_ratio is not None
    assert comparison.lines[1].val_top1_best is not None
    run = tmp_path / "grid" / "cells" / "ste-standardise=false-seed0"
    assert checkpoint.load(run / "last").state["epochs"] == 2
    resolved = (run / "recipe.resolved.yaml").read_text()
    assert "standardise: false" in resolved
    assert "twin: false" in resolved
    kept = (tmp_path / "grid" / "cells" / "float-seed0" / "recipe.resolved.yaml").read_text()
    assert "binarize:" not in kept
    page = (tmp_path / "grid" / "report.html").read_text()
    assert "2 of 2 trials finished" in page
