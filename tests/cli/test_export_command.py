"""`binarize export`: the bare --onnx, what is said, and what is left behind."""

from __future__ import annotations

import json
import shutil

import pytest
from typed import run

from binarize.cli.export import with_value
from binarize.run import AllocationRecord, FitRecord, open_run, write_info

KEYS = {
    "onnx",
    "form",
    "bytes",
    "bytes_predicted",
    "parity",
    "max_abs_diff",
    "max_abs_logit",
    "top1_agreement",
}


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        ([], []),
        (["--onnx"], ["--onnx", ""]),
        (["runs/a", "--onnx"], ["runs/a", "--onnx", ""]),
        (["--onnx", "a.onnx"], ["--onnx", "a.onnx"]),
        (["--onnx=a.onnx", "--json"], ["--onnx=a.onnx", "--json"]),
        (["--onnx", "--json"], ["--onnx", "", "--json"]),
        (["--onnx", "--opset", "18"], ["--onnx", "", "--opset", "18"]),
        (["--onnx", "--", "runs/a"], ["--onnx", "", "--", "runs/a"]),
        (["--", "--onnx"], ["--", "--onnx"]),
    ],
)
def test_a_bare_onnx_stands_for_the_file_in_the_run(
    typed: list[str], understood: list[str]
) -> None:
    assert with_value(typed) == understood


def test_without_onnx_the_usage_is_wrong(capsys, trained) -> None:
    assert run("export", trained) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "--onnx" in err


def test_a_run_behind_onnx_is_pointed_out(capsys, trained) -> None:
    assert run("export", "--onnx", trained) == 2
    assert f"binarize export {trained} --onnx" in capsys.readouterr().err


@pytest.mark.parametrize("opset", ["17", "26", "x"])
def test_an_opset_out_of_range_is_wrong_usage(opset: str, capsys, trained) -> None:
    assert run("export", trained, "--onnx", "m.onnx", "--opset", opset) == 2
    assert "--opset" in capsys.readouterr().err


def test_the_newest_run_gets_its_file_and_the_talk_says_so(capsys, folder, trained) -> None:
    shutil.copytree(trained, folder / "runs/copy", ignore=shutil.ignore_patterns("model.onnx"))
    assert run("export", "--onnx") == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == "exporting the newest run, runs/copy"
    assert lines[1] == "runs/copy/model.onnx: packed ONNX, opset 20"
    assert lines[2].endswith("validated on 32 test images of digits")
    assert [line[0] for line in lines[2:6]] == ["✓"] * 4
    assert "max |diff|" in lines[3]
    assert "same top-1 on 100.00 %" in lines[4]
    assert f"{(folder / 'runs/copy/model.onnx').stat().st_size:,} bytes" in lines[5]
    assert lines[-1] == "next: binarize eval"


@pytest.mark.parametrize(("more", "asked"), [(-1, True), (0, False)])
def test_a_file_above_the_size_that_was_asked_for_is_said(
    capsys, tmp_path, trained, more: int, asked: bool
) -> None:
    """Its bits were chosen before it was trained, when its metadata held no recipe."""
    shutil.copytree(trained, tmp_path / "run")
    info = open_run(trained).info
    size = (trained / "model.onnx").stat().st_size + more
    allocation = AllocationRecord(size=size, bytes=size, steps=1)
    fit = FitRecord(
        images=8, steps=1, seconds=1.0, error_before=2.0, error_after=1.0, allocation=allocation
    )
    write_info(tmp_path / "run", info.replace(fit=fit))
    assert run("export", tmp_path / "run", "--onnx", tmp_path / "m.onnx") == 0
    out = capsys.readouterr().out
    assert ("1 bytes more than the --size that its bits were chosen for" in out) == asked


def test_json_is_alone_on_stdout(capsys, folder, trained) -> None:
    (folder / "deep").mkdir()
    assert run("export", trained / "best", "--onnx", "deep/m.onnx", "--opset", "18", "--json") == 0
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert set(content) >= KEYS
    assert (content["onnx"], content["form"], content["opset"]) == ("deep/m.onnx", "packed", 18)
    assert content["bytes"] == (folder / "deep/m.onnx").stat().st_size
    assert content["bytes_asked"] is None
    assert abs(content["bytes_predicted"] / content["bytes"] - 1) <= 0.1
    assert err.splitlines()[-1] == "next: binarize eval deep/m.onnx"


def test_a_directory_is_no_file_to_write(capsys, folder, trained) -> None:
    assert run("export", trained, "--onnx", ".") == 1
    assert capsys.readouterr().err.startswith('error: "." is a directory\nhint: name a file')
