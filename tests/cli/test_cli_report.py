"""`binarize report` on a run that was trained for two steps, through the commands themselves."""

from __future__ import annotations

import json
import shutil

import pytest
from typed import run


@pytest.fixture
def mine(trained, folder):
    """A copy of the run, as runs/mine of the current directory."""
    shutil.copytree(trained, folder / "runs" / "mine")
    return folder / "runs" / "mine"


def test_figures_files_and_what_to_type_next(mine, capsys):
    assert run("report") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert lines[0] == "the newest run, runs/mine"
    assert lines[1].endswith("cifar_resnet20: 1-bit weights, ab-tanh")
    assert any(line.startswith(" last epoch, test images ") for line in lines)
    assert lines[-3:] == [
        "wrote runs/mine/report.html",
        "wrote runs/mine/README.md",
        "next: binarize eval runs/mine",
    ]
    page, card = (mine / "report.html").read_text(), (mine / "README.md").read_text()
    assert "layer3.0.conv2" in page
    assert "73,728 parameters take one bit each" in card
    assert "reconstruction" in card


def test_with_json_stdout_is_data_alone(mine, capsys, folder):
    assert run("report", "runs/mine", "-o", "page.html", "--json") == 0
    out, err = capsys.readouterr()
    figures = json.loads(out)
    assert figures["run"] == "runs/mine"
    assert figures["data"] == "digits"
    assert 0 <= figures["test"]["top1"] <= 100
    assert figures["files"] == ["page.html", "runs/mine/README.md"]
    assert (folder / "page.html").is_file()
    assert not (mine / "report.html").exists()
    assert err.endswith("next: binarize eval runs/mine\n")


def test_a_run_without_a_file_is_exported_next(mine, capsys):
    (mine / "model.onnx").unlink()
    assert run("report", "runs/mine") == 0
    assert capsys.readouterr().out.endswith("next: binarize export runs/mine --onnx\n")


def test_a_converted_run_is_trained_next(trained, folder, capsys):
    shutil.copytree(trained.parent / "converted", folder / "converted")
    assert run("report", "converted") == 0
    out = capsys.readouterr().out
    assert "it is not trained yet\n" in out
    assert out.endswith("next: binarize train converted --recipe digits\n")


def test_without_matplotlib_the_card_comes_and_one_sentence(mine, capsys, monkeypatch):
    monkeypatch.setattr("binarize.reporting.reporting.can_draw", lambda: False)
    assert run("report") == 0
    out = capsys.readouterr().out
    assert "wrote runs/mine/README.md\n" in out
    assert 'the page needs matplotlib: pip install "binarize[plot]"\n' in out
    assert not (mine / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 1, "error: there is no run under runs/ yet"),
        (["nowhere"], 1, 'error: "nowhere" does not exist'),
        (["a", "b"], 2, "hint: see binarize report --help"),
    ],
)
def test_bad_input_leaves_nothing_behind(folder, capsys, arguments, code, said):
    assert run("report", *arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert list(folder.iterdir()) == []
