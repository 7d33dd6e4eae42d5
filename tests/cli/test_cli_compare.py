"""What `binarize compare` says, where, and how it ends; most trainings are stood in for."""

from __future__ import annotations

import json

import pytest
from typed import run

from binarize.comparing import trial as trials
from binarize.errors import TrainingError
from binarize.recipe import dump, load
from binarize.training import TrainResult

TINY = {
    "model": {"name": "cifar_resnet20", "pretrained": False, "kwargs": {"blocks": 1}},
    "data": {"name": "digits", "img_size": 8, "batch_size": 256, "workers": 0},
    "stages": [{"steps": 1, "optimizer": {"lr": 0.01}}],
    "engine": {"threads": 1},
}
VARIANTS = ["--recipe", "tiny.yaml", "--estimators", "float,ste", "-o", "grid"]


@pytest.fixture(autouse=True)
def _recipe(folder):
    (folder / "tiny.yaml").write_text(dump(load(TINY)))


@pytest.fixture
def trained(monkeypatch):
    """How often something was "trained", and what goes wrong: {directory's name: exception}."""
    calls, fails = [], {}

    def train(recipe=None, target=None, *, data_dir=None, out=None, resume=None, progress=None):
        path = out or resume
        calls.append((path.name, target, data_dir))
        progress.task("binarized", 1)
        progress.update(1, "epoch 1/1, loss 0.5")
        progress.warn("an input hardly ever changes", "start from a float model")
        progress.say("the classifier starts anew")
        if path.name in fails:
            raise fails[path.name]
        path.mkdir(parents=True)
        top1 = 90.0 if "float" in path.name else 88.5
        (path / "metrics.csv").write_text(f"epoch,test_top1,train_loss,seconds\n1,{top1},1.5,2\n")
        return TrainResult(str(path), 1, top1, 99.0, top1, 1, None, 2.0)

    monkeypatch.setattr(trials, "train", train)
    return calls, fails


def test_a_line_per_trial_the_table_and_what_to_type_next(trained, capsys, folder):
    assert run("compare", *VARIANTS) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "sweep: grid, 2 variants x 1 seeds"
    assert lines[1] == "float, seed 0: top-1 90.00 % after 1 epochs (2 s)"
    assert lines[2] == "ste, seed 0: top-1 88.50 % after 1 epochs (2 s)"
    table = [line.split() for line in lines if line.startswith((" float ", " ste "))]
    assert table == [
        ["float", "1", "90.00", "±", "—", "2.0"],
        ["ste", "1", "88.50", "±", "—", "-1.50", "2.0"],
    ]
    assert lines[-3:] == [
        "wrote grid/table.csv",
        "wrote grid/report.html",
        "next: binarize report grid/cells/ste-seed0",
    ]
    assert "classifier starts anew" not in out  # the same in every trial
    assert err.splitlines() == [  # of the float variant nobody needs to be told
        "warning: ste, seed 0 (2/2): an input hardly ever changes",
        "hint: start from a float model",
    ]
    page = (folder / "grid" / "report.html").read_text()
    assert "tiny: 2 estimators compared" in page
    assert "88.50 ± —" in page


def test_with_json_stdout_is_data_alone(trained, capsys):
    assert run("compare", *VARIANTS, "--json") == 0
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert content["grid"] == "grid"
    assert [(line["arm"], line["gap_to_float"]) for line in content["table"]] == [
        ("float", None),
        ("ste", -1.5),
    ]
    assert [cell["error"] for cell in content["cells"]] == [None, None]
    assert "next: binarize report" in err


def test_a_failed_trial_is_told_and_the_exit_code_is_1(trained, capsys, folder):
    trained[1]["float-seed0"] = TrainingError("the loss is no longer a number", "lower it")
    assert run("compare", *VARIANTS) == 1
    out, err = capsys.readouterr()
    assert "float, seed 0: failed, the loss is no longer a number\n" in out
    assert "ste, seed 0: top-1 88.50 %" in out
    assert err.endswith("warning: float, seed 0: the loss is no longer a number\nhint: lower it\n")
    assert "the loss is no longer a number" in (folder / "grid" / "report.html").read_text()
    del trained[1]["float-seed0"]
    assert run("compare", "-o", "grid") == 0
    assert [name for name, *_ in trained[0]] == ["float-seed0", "ste-seed0", "float-seed0"]


def test_ctrl_c_says_how_to_go_on(trained, capsys):
    trained[1]["ste-seed0"] = KeyboardInterrupt()
    assert run("compare", *VARIANTS) == 130
    out, err = capsys.readouterr()
    assert out.endswith("binarize compare -o grid\n")
    assert err.endswith("error: interrupted\n")


def test_target_and_images_reach_every_trial(trained, folder):
    assert run("compare", "resnet18", *VARIANTS, "--data-dir", "images", "--set", "seed=5") == 0
    assert [(target, str(images)) for _, target, images in trained[0]] == [
        ("resnet18", "images")
    ] * 2
    manifest = json.loads((folder / "grid" / "compare.json").read_text())
    assert (manifest["target"], manifest["changes"]) == ("resnet18", ["seed=5"])


def test_without_matplotlib_one_sentence_says_so(trained, capsys, monkeypatch):
    monkeypatch.setattr("binarize.comparing.comparison.can_draw", lambda: False)
    assert run("compare", *VARIANTS) == 0
    out = capsys.readouterr().out
    assert 'the page needs matplotlib: pip install "binarize[plot]"\n' in out
    assert "report.html" not in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "give --recipe NAME|FILE, or --out DIR of an earlier comparison"),
        (["--recipe", "digits", "--jobs", "0"], 2, "--jobs"),
        (["--recipe", "digits"], 1, "error: no estimator is named"),
        (["--recipe", "digits", "--estimators", "ab-tan"], 1, 'hint: did you mean "ab-tanh"?'),
        (["--recipe", "digts", "--estimators", "ste"], 1, 'there is no recipe "digts"'),
        (["-o", "tiny.yaml"], 1, '"tiny.yaml" exists already'),
        (["-o", "nowhere"], 1, "there is no recipe to compare by"),
    ],
)
def test_bad_input_leaves_nothing_behind(capsys, folder, arguments, code, said):
    before = sorted(folder.rglob("*"))
    assert run("compare", *arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.slow
def test_two_trials_at_a_time_for_real(capsys, folder):
    assert run("compare", *VARIANTS, "--jobs", "2", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert [line["n"] for line in content["table"]] == [1, 1]
    for name in ("float-seed0", "ste-seed0"):
        assert (folder / "grid" / "cells" / name / "last" / "model.safetensors").is_file()
    assert not list((folder / "grid" / "cells").glob("*.lock"))
