from __future__ import annotations

import json
import resource

import pytest
import train_runs as tiny

from binarize.cli import app
from binarize.recipe import dump
from binarize.training import checkpoint


@pytest.fixture(autouse=True)
def recipe_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(dump(tiny.recipe(2, **tiny.BINARY)))


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def full_disk():
    """From now on no file can grow beyond 300 kB, which the weights do."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_line_per_epoch_the_outcome_and_what_to_type_next(capsys):
    assert app.main(["train", "--recipe", "tiny.yaml", "--set", "twin=true"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "run: runs/cifar_resnet20-tiny" in lines
    assert lines.index("float baseline: 2 epochs") < lines.index("binarized: 2 epochs")
    assert sum(line.startswith("epoch ") for line in lines) == 4
    assert lines[-2].startswith("top-1 ")
    assert "float baseline" in lines[-2]
    assert lines[-1] == "next: binarize export --onnx"


def test_with_json_stdout_is_data_alone(capsys, tmp_path):
    assert app.main(["train", "--recipe", "tiny.yaml", "-o", "elsewhere", "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert (result["run"], result["epochs"]) == ("elsewhere", 2)
    assert "top1_float" not in result
    assert "next: binarize export elsewhere --onnx" in captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give --recipe"),
        (["--resume", "r", "--recipe", "digits"], "omit --recipe"),
        (["--resume", "r", "--set", "seed=1"], "omit --set"),
        (["--resume", "r", "-o", "x"], "omit --out"),
        (["--resume", "r", "resnet18"], "omit RUN|MODEL"),
    ],
)
def test_a_new_training_and_an_old_one_do_not_mix(capsys, arguments, words):
    assert app.main(["train", *arguments]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.startswith("error: ")
    assert captured.err.count("hint: ") == 1


def test_a_wrong_key_is_named_and_nothing_is_written(capsys, tmp_path):
    before = files(tmp_path)
    assert app.main(["train", "--recipe", "tiny.yaml", "--set", "data.batchsize=3"]) == 1
    assert "batch_size" in capsys.readouterr().err
    assert files(tmp_path) == before


def test_a_missing_folder_is_one_sentence(capsys, tmp_path):
    before = files(tmp_path)
    arguments = ["--set", "data.name=folder", "--data-dir", "nowhere"]
    assert app.main(["train", "--recipe", "tiny.yaml", *arguments]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert "nowhere" in error
    assert hint.startswith("hint: ")
    assert files(tmp_path) == before


def test_a_full_disk_at_the_start_leaves_nothing(capsys, tmp_path):
    before = files(tmp_path)
    restore = full_disk()
    try:
        assert app.main(["train", "--recipe", "tiny.yaml", "-o", "run"]) == 1
    finally:
        restore()
    assert "error: the disk is full" in capsys.readouterr().err
    assert files(tmp_path) == before


def test_a_full_disk_later_on_keeps_the_last_epoch_and_says_how_to_go_on(
    capsys, monkeypatch, tmp_path
):
    original, restores = checkpoint.save, []

    def save(last, content):
        if last.exists():
            restores.append(full_disk())
        original(last, content)

    monkeypatch.setattr(checkpoint, "save", save)
    try:
        assert app.main(["train", "--recipe", "tiny.yaml", "-o", "run"]) == 1
    finally:
        for restore in restores:
            restore()
    captured = capsys.readouterr()
    assert "error: the disk is full" in captured.err
    assert "binarize train --resume run" in captured.out
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert checkpoint.load(tmp_path / "run" / "last").state["epochs"] == 1
    assert app.main(["train", "--resume", "run"]) == 0
