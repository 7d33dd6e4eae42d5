"""The commands that only read: eval, summary, models ls, checks."""

from __future__ import annotations

import json
import shutil

import pytest
from typed import run

from binarize.cli import eval as eval_command
from binarize.evaluation import Evaluation
from binarize.kernels import installed
from binarize.models import list_models


def answer(capsys, *arguments):
    """stdout and stderr of a command that must succeed."""
    capsys.readouterr()
    assert run(*arguments) == 0
    return capsys.readouterr()


def test_eval_shows_the_run_its_file_and_the_next_command(capsys, trained):
    out, err = answer(capsys, "eval", trained, "--limit", "40", "-b", "16")
    assert err == ""
    rows = [line for line in out.splitlines() if str(trained) in line]
    assert "torch" in rows[0]
    assert "onnx" in rows[1]
    assert f"{(trained / 'model.onnx').stat().st_size:,}" in rows[1]
    assert "40 test images of digits" in out
    assert out.splitlines()[-1] == f"next: binarize summary {trained}"


def test_eval_with_json_keeps_its_keys(capsys, trained):
    out, err = answer(capsys, "eval", trained / "model.onnx", "--limit", "40", "--json")
    (result,) = json.loads(out)
    assert {"target", "images", "top1", "top5", "images_per_s"} <= set(result)
    assert (result["target"], result["images"]) == (str(trained / "model.onnx"), 40)
    assert result["kernels"] == (installed() is not None)
    assert err.splitlines()[-1].startswith("next: ")


def test_eval_in_stock_onnxruntime_alone(capsys, trained):
    out, _ = answer(capsys, "eval", trained, "--limit", "40", "--no-kernels", "--json")
    assert [result["kernels"] for result in json.loads(out)] == [None, False]


def test_eval_without_a_target_says_which_run(capsys, trained, monkeypatch):
    monkeypatch.chdir(trained.parent.parent)
    out, _ = answer(capsys, "eval", "--limit", "20")
    assert out.splitlines()[0] == "evaluating the newest run, runs/trained"


def test_eval_of_a_run_without_a_file_asks_for_the_export(capsys, trained):
    out, _ = answer(capsys, "eval", trained / "best", "--limit", "20")
    assert out.splitlines()[-1] == f"next: binarize export {trained / 'best'} --onnx"


@pytest.mark.parametrize("checkpoint", ["", "best", "last"])
def test_summary_of_a_run(checkpoint, capsys, trained):
    out, err = answer(capsys, "summary", trained / checkpoint)
    assert err == ""
    assert "estimator: ab-tanh" in out
    assert "layer3.0.conv2" in out
    assert "73,728" in out  # 1-bit parameters of the six binarized layers
    assert out.splitlines()[-1] == f"next: binarize eval {trained / checkpoint}"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"layers": []}'])
def test_a_damaged_layer_table(content, capsys, folder, trained):
    shutil.copytree(trained, folder / "copy")
    (folder / "copy/summary.json").write_text(content)
    assert run("summary", "copy") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith('error: "copy/summary.json" is ')
    assert "damaged" in err
    assert "\nhint: " in err


def test_summary_of_a_model_writes_nothing(capsys, folder):
    out, _ = answer(capsys, "summary", "cifar_resnet20", "--json")
    summary = json.loads(out)
    assert summary["model"] == "timm/cifar_resnet20"
    assert summary["totals"]["params_1bit"] == 267_264
    assert [layer["action"] for layer in summary["layers"]].count("kept") == 2
    assert list(folder.iterdir()) == []


def test_models_are_found_by_a_part_of_their_name(capsys):
    out, err = answer(capsys, "models", "ls", "cifar_")
    assert err == ""
    for name in ("cifar_resnet20", "cifar_resnet18", "cifar_vgg_small"):
        assert name in out
    assert out.splitlines()[-2:] == ["7 models", "next: binarize convert cifar_resnet20"]


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("resnet18", "resnet18"),
        ("fasterrcnn", "torchvision/fasterrcnn_resnet50_fpn"),
        ("torchvision/resnet", "torchvision/resnet18"),
        ("vgg_small", "cifar_vgg_small"),
        ("vit_base_patch16_224", "vit_base_patch16_224"),
    ],
)
def test_the_best_match_comes_first(word, first):
    found = [listing.name for listing in list_models(word)]
    assert found[0] == first
    assert all(word in name for name in found)


def test_summary_gives_the_estimator_in_one_shape(capsys, folder, trained):
    shutil.copytree(trained, folder / "copy")
    info = json.loads((folder / "copy/run.json").read_text())
    info["conversion"]["estimator"] = {"name": "ab-tanh", "a_end": 0.8}
    (folder / "copy/run.json").write_text(json.dumps(info))
    found = [
        json.loads(answer(capsys, "summary", target, "--json")[0])["estimator"]
        for target in (trained, "copy", "cifar_resnet20")
    ]
    assert found == [{"name": "ab-tanh"}, {"name": "ab-tanh", "a_end": 0.8}, {"name": "ab-tanh"}]
    assert "estimator: ab-tanh, a_end 0.8" in answer(capsys, "summary", "copy")[0]


@pytest.mark.parametrize(("classes", "shown"), [((5, 5), False), ((10, 5), True)])
def test_top_5_is_shown_where_it_says_something(classes, shown, capsys):
    evaluations = [
        Evaluation(f"run{n}", "torch", "folder", 10, 80.0, 98.76, 9.0, 9.0, 9, classes=n)
        for n in classes
    ]
    eval_command.show(evaluations)
    out, _ = capsys.readouterr()
    assert ("top-5 %" in out) is shown
    assert out.count("98.76") == sum(n > 5 for n in classes)


def test_models_as_json(capsys):
    out, err = answer(capsys, "models", "ls", "torchvision/resnet18", "--json")
    (model,) = json.loads(out)
    assert model == {
        "name": "torchvision/resnet18",
        "library": "torchvision",
        "pretrained": True,
        "task": "classification",
    }
    assert "1 model" in err


def test_models_of_another_task_say_so(capsys):
    out, _ = answer(capsys, "models", "ls", "torchvision/r3d_18")
    assert "video" in out


def test_a_forced_layer_is_in_the_table_as_binarized(capsys):
    force = ["--binarize", "conv1", "--keep", "fc", "--binarize", "fc"]
    out, _ = answer(
        capsys, "convert", "cifar_resnet20", "--no-pretrained", "--dry-run", "--json", *force
    )
    reasons = {row["name"]: row["reason"] for row in json.loads(out)["layers"] if row["reason"]}
    assert reasons == {"fc": 'keep "fc"'}


def test_checks_pass_and_leave_nothing_behind(capsys, folder):
    out, err = answer(capsys, "checks", "--json")
    facts = json.loads(out)
    assert {"python", "torch", "timm", "onnxruntime"} <= set(facts["versions"])
    assert facts["machine"]["cores"] >= 1
    assert facts["native_kernels"]["present"] is (installed() is not None)
    assert facts["self_test"]["passed"] is True
    assert facts["self_test"]["max_abs_diff"] < 1e-3
    assert "self-test passed" in err
    assert list(folder.iterdir()) == []


def test_checks_that_fail_exit_with_one(capsys, folder, monkeypatch):
    from binarize import exporting
    from binarize.errors import ExportError

    def broken(*_, **__):
        raise ExportError("onnxruntime refuses the file")

    monkeypatch.setattr(exporting, "export", broken)
    assert run("checks", "--json") == 1
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert facts["self_test"]["passed"] is False
    assert facts["self_test"]["why"] == "onnxruntime refuses the file"
    assert "FAILED" in err
