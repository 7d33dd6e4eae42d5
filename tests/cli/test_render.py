"""What is shown, on which stream, and that no name is lost."""

from __future__ import annotations

import json
import math

import pytest

from binarize.cli import render

LONG = "layers.3.blocks.17.attention.projection_with_a_long_name." * 3
ROW = {
    "name": LONG,
    "kind": "conv",
    "shape": [64, 3, 7, 7],
    "source": "input",
    "action": "kept",
    "reason": "first layer: it sees the image",
}
TOTALS = {
    "params_1bit": 11_000_000,
    "params_32bit": 500_000,
    "macs_1bit": 1_000,
    "macs_32bit": 10,
    "bytes_float": 46_000_000,
    "bytes_packed": 3_600_000,
}


@pytest.fixture(autouse=True)
def _no_json(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    render.use_json(False)
    yield
    render.use_json(False)


def test_talk_goes_to_stdout(capsys):
    render.say("a [b]plain[/b] sentence")
    render.next_command("binarize eval")
    out, err = capsys.readouterr()
    assert out == "a [b]plain[/b] sentence\nnext: binarize eval\n"
    assert err == ""


def test_with_json_stdout_holds_the_data_alone(capsys):
    render.use_json(True)
    render.say("talk")
    render.table(("a",), [(1,)])
    render.emit_json({"loss": math.nan, "best": -math.inf, "rows": [(1, 2.5)]})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"loss": None, "best": None, "rows": [[1, 2.5]]}
    assert err.startswith("talk\n")


def test_no_name_is_cut_where_there_is_no_terminal(capsys):
    render.layer_table([ROW], TOTALS)
    out, _ = capsys.readouterr()
    line = next(line for line in out.splitlines() if LONG in line)
    assert "64x3x7x7" in line
    assert ROW["reason"] in line
    assert "12.8 times smaller" in out


def test_a_narrow_terminal_folds_names_and_loses_nothing(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    render.table(("layer",), [(LONG,)])
    out, _ = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 40
    assert "".join(out.split()).endswith(LONG)


def test_errors_go_to_stderr(capsys):
    render.error("no such [thing]", "try another")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: no such [thing]\nhint: try another\n")


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1023, "1,023 bytes"),
        (2048, "2.00 KiB (2,048 bytes)"),
        (3_610_112, "3.44 MiB (3,610,112 bytes)"),
    ],
)
def test_sizes(count, words):
    assert render.size(count) == words


def test_only_the_first_process_talks(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    render.say("twice")
    render.emit_json({})
    assert capsys.readouterr() == ("", "")
