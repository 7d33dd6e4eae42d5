"""`binarize bench`: what is shown, what is data, and what is wrong usage."""

from __future__ import annotations

import json
import shutil

import pytest
from typed import run

from binarize import kernels
from binarize.benching import Bench, Result
from binarize.cli import bench as command
from binarize.cli import render
from binarize.kernels import installed
from binarize.runtime import session

FEW = ["--rounds", "2", "--no-kernels"]


def answer(capsys, *arguments):
    """stdout and stderr of a command that must succeed."""
    capsys.readouterr()
    assert run("bench", *arguments) == 0
    return capsys.readouterr()


def test_the_table_shows_the_float_model_and_the_file(capsys, trained):
    out, err = answer(capsys, trained, *FEW)
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == "2 rounds, batch 1, 1 thread"
    assert "float: timm/cifar_resnet20, built for this with random weights" in lines
    assert ["timm/cifar_resnet20", "float"] in [line.split()[:2] for line in lines]
    (row,) = [line for line in lines if "packed" in line]
    assert f"{(trained / 'model.onnx').stat().st_size:,}" in row
    assert lines[-1] == f"next: binarize bench {trained} --profile"


def test_without_a_file_it_says_which_run(capsys, trained, monkeypatch):
    monkeypatch.chdir(trained.parent.parent)
    out, _ = answer(capsys, *FEW)
    assert out.splitlines()[0] == "benching the newest run, runs/trained"


def test_json_is_a_list_alone_on_stdout(capsys, trained):
    out, err = answer(capsys, trained / "model.onnx", *FEW, "--threads", "2", "-b", "3", "--json")
    rows = json.loads(out)
    assert [row["form"] for row in rows] == ["float", "packed"]
    assert {(row["threads"], row["batch"]) for row in rows} == {(2, 3)}
    assert "2 threads" in err
    assert err.splitlines()[-1].startswith("next: ")


def test_profile_shows_the_longest_nodes_and_sums_up_the_rest(capsys, trained):
    out, err = answer(capsys, trained, *FEW, "--profile", "--json")
    content = json.loads(out)
    assert [row["form"] for row in content["results"]] == ["float", "packed"]
    spent = [row["median_ms"] for row in content["profile"]]
    assert spent == sorted(spent, reverse=True)
    assert sum(row["share"] for row in content["profile"]) == pytest.approx(1)
    assert f"{trained / 'model.onnx'}, packed, onnxruntime:" in err.splitlines()
    assert f"{len(spent) - command.SHOWN} more" in err
    assert err.splitlines()[-1] == f"next: binarize eval {trained}"


def test_it_says_that_there_are_no_kernels(capsys, trained, monkeypatch):
    for module in (kernels, session):
        monkeypatch.setattr(module, "installed", lambda: None)
    said = "this installation has no binarize kernels"
    assert said in answer(capsys, trained, "--rounds", "1").out
    assert said not in answer(capsys, trained, "--rounds", "1", "--no-kernels").out


@pytest.mark.skipif(installed() is None, reason="needs the native kernels")
def test_kernels_stand_beside_stock_onnxruntime(capsys, trained):
    out, _ = answer(capsys, trained, "--rounds", "1", "--json")
    assert [row["kernels"] for row in json.loads(out)] == [False, False, True]


@pytest.mark.parametrize(
    "arguments", [["--rounds", "0"], ["--threads", "0"], ["--batch", "x"], ["--unknown"]]
)
def test_wrong_usage(arguments, capsys, trained):
    assert run("bench", trained, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert arguments[0] in err
    assert err.endswith("hint: see binarize bench --help\n")


def test_a_run_that_was_not_exported(capsys, folder, trained):
    shutil.copytree(trained, folder / "copy", ignore=shutil.ignore_patterns("model.onnx"))
    assert run("bench", "copy", "--json") == 1
    assert capsys.readouterr() == (
        "",
        'error: run "copy" holds no ONNX file\nhint: write it: binarize export copy --onnx\n',
    )


@pytest.mark.parametrize(("diff", "warned"), [(1e-6, False), (0.2, True), (float("nan"), True)])
def test_kernels_that_compute_something_else_are_pointed_out(diff, warned, capsys):
    render.use_json(False)
    timing = {"median_ms": 1.0, "p10_ms": 1.0, "p90_ms": 1.0, "ratio_to_float": 1.0}
    about = {"file": "a.onnx", "form": "packed", "kernels": True, "threads": 1, "batch": 1}
    result = Result(**about, **timing, load_ms=1.0, peak_mb=None, bytes=1, max_diff=diff)
    command.show(Bench([result]), 1, no_kernels=False)
    assert capsys.readouterr().err.startswith("warning: a.onnx") == warned
