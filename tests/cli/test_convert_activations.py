"""`binarize convert` with binary activations: the table's column, calibration, and what is refused."""

from __future__ import annotations

import json

import pytest
from typed import run

from binarize.layers import binary_inputs
from binarize.rewrite import Calibrated, build

NET = ["convert", "cifar_resnet20", "--no-pretrained"]


def answer(capsys, *arguments):
    capsys.readouterr()
    assert run(*NET, *arguments) == 0
    return capsys.readouterr()


def refused(capsys, *arguments):
    capsys.readouterr()
    assert run(*NET, *arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(":")[0] for line in err.splitlines()] == ["error", "hint"]
    return err


def test_the_table_says_what_inputs_become(capsys, folder):
    out, _ = answer(capsys, "--activations", "sign", "--structure", "bireal", "--dry-run", "--json")
    content = json.loads(out)
    inputs = {row["name"]: row["activations"] for row in content["layers"]}
    assert (inputs["conv1"], inputs["layer1.0.conv1"], inputs["fc"]) == ("float", "sign", "float")
    assert content["calibration"] is None
    assert list(folder.iterdir()) == []


def test_there_is_a_column_only_where_an_input_is_binary(capsys, folder):
    for flags, column in ((["--activations", "step"], ["input"]), ([], [])):
        out, _ = answer(capsys, *flags, "--dry-run")
        (heading,) = (line.split() for line in out.splitlines() if " kind " in line)
        assert heading == ["layer", "kind", "shape", "fed", "by", "action", *column, "reason"]


def test_a_run_is_calibrated_and_says_on_what(capsys, folder):
    flags = ["--activations", "step", "--calib-images", "2", "--img-size", "8"]
    out, _ = answer(capsys, *flags)
    assert "calibrated on 2 standard-normal images, as no --calib-data was given" in out
    (path,) = (folder / "runs").iterdir()
    assert path.name == "cifar_resnet20-ab-tanh-step"
    steps = [binarizer for _, binarizer in binary_inputs(build(path))]
    assert steps
    assert all(step.threshold.item() != 0.5 for step in steps)


def test_saturated_layers_are_named_and_counted(capsys, folder, monkeypatch):
    from binarize.rewrite import start

    saturated = {f"layer{n}": 0.99 for n in range(1, 8)}
    monkeypatch.setattr(start, "calibrate_part", lambda *_: Calibrated(2, "pictures", saturated))
    out, err = answer(capsys, "--activations", "step", "--img-size", "8", "--json")
    assert "layer1, layer2, layer3, layer4, layer5 and 2 more" in err
    assert "--keep" in err
    assert json.loads(out)["calibration"] == {
        "images": 2,
        "source": "pictures",
        "saturated": saturated,
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--activations", "stpe"], 'did you mean "step"?'),
        (["--activations", "sign", "--structure", "birael"], 'did you mean "bireal"?'),
        (["--activations", "step", "--structure", "bireal"], "--activations sign"),
        (["--structure", "reactnet"], "--activations sign"),
        (["--calib-data", "."], "holds no images"),
        (["--calib-images", "4"], "add --calib-data DIR"),
        (["--calib-steps", "4"], "add --calib-data DIR"),
        (["--activations", "step", "--calib-steps", "4"], "add --calib-data DIR"),
        (["--activations", "step", "--calib-data", "nowhere"], '"nowhere" does not exist'),
        (["--activations", "step", "--calib-data", "nowhere", "--dry-run"], "does not exist"),
        (["--activations", "step", "--calib-data", "."], "holds no images"),
    ],
)
def test_what_does_not_fit_is_refused(capsys, folder, arguments, words):
    assert words in refused(capsys, *arguments)
    assert list(folder.iterdir()) == []
