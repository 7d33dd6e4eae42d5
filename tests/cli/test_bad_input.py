"""Bad input: one sentence, one hint, exit 1, nothing on stdout and nothing half-written."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image
from typed import run

from binarize.cli import app
from binarize.cli.progress import working

NET = ["cifar_resnet20", "--no-pretrained", "--model-arg", "blocks=1"]
RECIPE = """\
data: digits
stages:
  - epochs: 1
    optimiser: {name: momentum, lr: 0.1}
"""


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(arguments, capsys, folder):
    """Run a command that must fail cleanly; its `error:` sentence."""
    before = tree(folder)
    capsys.readouterr()
    code = run(*arguments)
    out, err = capsys.readouterr()
    assert code == 1, err
    assert "unexpected" not in err
    assert "Traceback" not in err
    lines = err.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[-1].startswith("hint: ")
    assert "hint:" not in out
    assert "next:" not in out
    assert tree(folder) == before
    return err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["convert", "resnet81"], "resnet81"),
        (["convert", "torchvision/resnet19"], "torchvision/resnet"),
        (["convert", *NET, "--estimator", "ab-tan"], 'did you mean "ab-tanh"?'),
        (["convert", *NET, "--scale", "chanel"], 'did you mean "channel"?'),
        (["convert", *NET, "--stem", "cifer"], 'did you mean "cifar"?'),
        (["convert", *NET, "--keep", "layer9.*"], "layer9.*"),
        (["convert", *NET, "--binarize", "layer9.*"], "layer9.*"),
        (["convert", *NET, "--submodule", "layer4"], 'did you mean "layer'),
        (["convert", "torchvision/raft_small"], "optical flow"),
        (["convert", *NET, "--checkpoint", "no.safetensors"], "no.safetensors"),
        (["convert", "."], "."),
        (["train", "--recipe", "digit"], 'did you mean "digits"?'),
        (["train", "--recipe", "no.yaml"], "no.yaml"),
        (["train", "resnet81", "--recipe", "digits"], "resnet81"),
        (["train", "--recipe", "digits"], "there is no run"),
        (["train", "--recipe", "digits", "--set", "stage.0.epochs=1"], 'did you mean "stages"?'),
        (["train", "--recipe", "digits", "--set", "data.nam=x"], "data.nam"),
        (["train", "cifar_resnet20", "--recipe", "digits", "--set", "data.name=digit"], "digit"),
        (["train", *NET[:1], "--recipe", "cifar10-resnet20", "--data-dir", "no"], '"no"'),
        (["train", "--resume", "."], "not a run"),
        (["export", "--onnx"], "there is no run"),
        (["export", ".", "--onnx"], "not a run"),
        (["export", "nothing", "--onnx"], "nothing"),
        (["eval"], "there is no run"),
        (["eval", "nothing"], "nothing"),
        (["eval", "."], "not a run"),
        (["eval", "nothing.onnx"], "nothing.onnx"),
        (["bench"], "there is no run"),
        (["bench", "nothing"], "nothing"),
        (["bench", "."], "model.onnx"),
        (["bench", "nothing.onnx"], "nothing.onnx"),
        (["summary"], "there is no run"),
        (["summary", "resnet81"], "resnet81"),
        (["summary", "."], "no run"),
        (["recipes", "show", "digit"], 'did you mean "digits"?'),
        (["recipes", "cp", "digit"], 'did you mean "digits"?'),
        (["recipes", "validate", "no.yaml"], "no.yaml"),
        (["estimators", "plot", "ab-tan"], 'did you mean "ab-tanh"?'),
        (["models", "ls", "resnet-of-nobody"], "resnet-of-nobody"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_name_that_nothing_has(arguments, words, capsys, folder):
    assert words in refused(arguments, capsys, folder)


def test_a_recipe_with_an_unknown_key_names_its_line(capsys, folder):
    (folder / "mine.yaml").write_text(RECIPE)
    for arguments in (["train", "--recipe", "mine.yaml"], ["recipes", "validate", "mine.yaml"]):
        words = refused(arguments, capsys, folder)
        assert "mine.yaml:4" in words
        assert "optimizer" in words


@pytest.mark.parametrize(
    "content", [b"\x80\x02\x00", b"data: {name: dig", b"", b"- 1\n- 2\n"], ids=repr
)
def test_a_corrupt_recipe(content, capsys, folder):
    (folder / "mine.yaml").write_bytes(content)
    assert "mine.yaml" in refused(["train", "--recipe", "mine.yaml"], capsys, folder)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize("keep", [0, 10, 5000])
def test_a_truncated_checkpoint(name, keep, capsys, folder, trained):
    whole = (trained / "last/model.safetensors").read_bytes()
    (folder / name).write_bytes(whole[:keep])
    assert name in refused(["convert", *NET, "--checkpoint", name], capsys, folder)


def test_a_checkpoint_that_runs_code_is_not_run(capsys, folder):
    import pickle

    class Harm:
        def __reduce__(self):
            return os.mkdir, ("harm",)

    (folder / "weights.pth").write_bytes(pickle.dumps(Harm()))
    refused(["convert", *NET, "--checkpoint", "weights.pth"], capsys, folder)


def test_a_checkpoint_of_another_number_of_classes(capsys, folder, trained):
    file = trained / "last/model.safetensors"
    arguments = ["convert", *NET, "--num-classes", "7", "--checkpoint", file]
    assert 'has 10 classes ("fc"), and the model 7' in refused(arguments, capsys, folder)


@pytest.fixture
def copy(trained, folder):
    """The trained run, to be damaged."""
    shutil.copytree(trained, folder / "copy")
    return folder / "copy"


COMMANDS_ON_A_RUN = [["eval", "copy"], ["export", "copy", "--onnx"]]


@pytest.mark.parametrize("arguments", COMMANDS_ON_A_RUN, ids=" ".join)
@pytest.mark.parametrize("keep", [0, 100])
def test_a_run_with_truncated_weights(arguments, keep, capsys, folder, copy):
    for weights in copy.rglob("*.safetensors"):
        weights.write_bytes(weights.read_bytes()[:keep])
    assert "safetensors" in refused(arguments, capsys, folder)


@pytest.mark.parametrize(
    "arguments",
    [*COMMANDS_ON_A_RUN, ["summary", "copy"], ["train", "--resume", "copy"]],
    ids=" ".join,
)
@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}', '{"format": 99}'])
def test_a_run_whose_description_is_damaged(arguments, content, capsys, folder, copy):
    (copy / "run.json").write_text(content)
    assert "copy" in refused(arguments, capsys, folder)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_onnx_file(share, capsys, folder, trained):
    whole = (trained / "model.onnx").read_bytes()
    (folder / "part.onnx").write_bytes(whole[: int(share * len(whole))])
    for command in ("eval", "bench"):
        assert "part.onnx" in refused([command, "part.onnx"], capsys, folder)


def test_an_onnx_file_of_somebody_else(capsys, folder):
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    node = helper.make_node("Identity", ["x"], ["y"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([node], "g", [value], [out])
    onnx.save(helper.make_model(graph), folder / "other.onnx")
    for command in ("eval", "bench"):
        assert "other.onnx" in refused([command, "other.onnx"], capsys, folder)


@pytest.mark.parametrize("target", ["", "model.onnx"])
def test_images_of_another_number_of_classes(target, capsys, folder, trained):
    for name in ("cat", "dog"):
        place = folder / "images/test" / name
        place.mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(place / "1.png")
    arguments = ["eval", trained / target, "--data-dir", "images", "-j", "0"]
    assert "classes" in refused(arguments, capsys, folder)


def test_a_directory_that_is_taken(capsys, folder):
    (folder / "taken").mkdir()
    (folder / "taken/file").touch()
    assert "taken" in refused(["convert", *NET, "-o", "taken"], capsys, folder)


PROGRAM = [sys.executable, "-m", "binarize"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", *NET],
        ["train", "RUN", "--recipe", "digits"],
        ["export", "RUN", "--onnx", "m.onnx"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_full_disk(arguments, capsys, folder, trained):
    """A file size limit stands in for the full disk: the same calls fail in the same way."""
    import resource

    line = [str(trained) if word == "RUN" else word for word in arguments]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        code = run(*line)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    err = capsys.readouterr().err
    assert code == 1
    assert err.startswith("error: the disk is full")
    assert len(err.splitlines()) == 2
    assert tree(folder) in ([], ["runs"])


def interrupted(line, folder, moment):
    """Start a command, send Ctrl-C when `moment` (given its stdout) returns; what is left of stdout."""
    started = subprocess.Popen(
        [*PROGRAM, *map(str, line)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    moment(started.stdout)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=120)
    assert (started.returncode, err) == (130, "error: interrupted\n")
    assert not list(folder.rglob("*.part"))
    return out


@pytest.mark.parametrize("seconds", [1.0, 2.0, 3.0])
def test_ctrl_c_while_libraries_are_loading(seconds, folder):
    interrupted(["convert", "resnet50", "--no-pretrained"], folder, lambda out: time.sleep(seconds))
    assert not (folder / "runs").exists()


def test_ctrl_c_in_training_says_how_to_go_on(folder, trained):
    def first_epoch(out):
        while "epochs" not in out.readline():
            pass

    said = interrupted(["train", trained, "--recipe", "digits"], folder, first_epoch)
    (run,) = (folder / "runs").iterdir()
    assert f"binarize train --resume runs/{run.name}" in said


def test_the_error_of_a_json_command_leaves_stdout_empty(capsys, folder):
    assert app.main(["eval", "nothing", "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")


def test_ctrl_c_in_an_import_waits_for_its_end_and_a_second_one_does_not(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "pressed_in_here.py").write_text(
        "import signal\nsignal.raise_signal(signal.SIGINT)\nreached = True\n", encoding="utf-8"
    )
    (tmp_path / "pressed_again_in_here.py").write_text(
        "import signal\nsignal.raise_signal(signal.SIGINT)\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    reached = []

    def once(args):
        import pressed_in_here

        reached.append(pressed_in_here.reached)
        with working("working") as progress:
            progress.update(1)
            reached.append(progress)

    def twice(args):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        import pressed_again_in_here

        reached.append(pressed_again_in_here)

    monkeypatch.setattr(app, "run", once)
    assert app.main([]) == 130
    assert reached == [True]

    monkeypatch.setattr(app, "run", twice)
    assert app.main([]) == 130
    assert reached == [True]
    assert capsys.readouterr().err == "error: interrupted\n" * 2


def test_a_swallowed_ctrl_c_counts_at_the_next_move_of_the_bar(monkeypatch, capsys):
    """An import that catches everything (libraries have those) must not make a command go on."""
    reached = []

    def swallow(args):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with working("working") as progress:
            progress.update(1)
            reached.append(progress)

    monkeypatch.setattr(app, "run", swallow)
    assert app.main([]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"
    assert reached == []
    monkeypatch.setattr(app, "run", lambda args: working("next").__enter__().update(1))
    assert app.main([]) == 0  # the next command begins anew
