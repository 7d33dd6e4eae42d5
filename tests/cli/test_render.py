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


NAMES = ("runs/resnet18-ab-tanh-2", "runs/resnet18-ab-tanh-10.onnx")
COLUMNS = ("run", "kind", "top-1 %", "bytes", "remark")
ROWS = [(name, "onnx, kernels", "83.08", 3_610_112, "measured on two cores") for name in NAMES]


def shown(capsys, monkeypatch, width, **options):
    monkeypatch.setenv("COLUMNS", str(width))
    render.table(COLUMNS, ROWS, **options)
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize("width", range(41, 120, 3))
def test_a_narrow_terminal_breaks_no_name(capsys, monkeypatch, width):
    out = shown(capsys, monkeypatch, width, prose=("remark",), drop=("kind",))
    table, _, left_out = out.partition("columns left out for this width: ")
    assert max(map(len, table.splitlines())) <= width
    for name in NAMES:
        assert name in table
    lost = left_out.strip().split(", ") if left_out else []
    for title, value in zip(COLUMNS, ("", "onnx, kernels", "83.08", "3,610,112", ""), strict=True):
        assert (title in table) is (title not in lost)
        assert (value in table) is (title not in lost) or not value


def test_columns_are_left_out_in_the_order_of_the_caller_then_from_the_right(capsys, monkeypatch):
    last_line = [
        shown(capsys, monkeypatch, width, drop=("kind",)).splitlines()[-1] for width in (77, 55, 45)
    ]
    assert [line.rpartition(": ")[2] for line in last_line] == [
        "kind",
        "kind, remark",
        "kind, bytes, remark",
    ]


def test_where_no_two_columns_fit_nothing_is_lost(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    render.table(("layer", "kind"), [(LONG, "conv"), ("fc", None)])
    render.table(("layer",), [(LONG,)])
    out, _ = capsys.readouterr()
    assert out.splitlines() == [LONG, "  kind: conv", "fc", LONG]


def test_prose_wraps_between_words(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    words = "a description that is much longer than the terminal is wide"
    render.table(("recipe", "description"), [("cifar10-resnet20", words)], prose=("description",))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    assert set(words.split()) <= set(" ".join(lines).split())
    assert "cifar10-resnet20" in " ".join(lines)


def test_control_characters_of_a_name_do_not_reach_the_terminal(capsys):
    evil = "a\x1b]0;title\x07b\x9bc\u202ed"
    render.say(evil)
    render.table(("name",), [(evil,)])
    render.error(evil, evil)
    out, err = capsys.readouterr()
    for text in (out, err):
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)
        assert "a\\x1b]0;title" in text


def test_a_name_with_line_ends_forges_no_line(capsys):
    evil = "a\nnext: rm -rf /\nhint: b"
    render.say(evil)
    render.next_command(evil)
    render.error(evil, evil)
    render.warn(evil)
    out, err = capsys.readouterr()
    starts = [line.partition(":")[0] for line in (out + err).splitlines() if line[:1] != " "]
    assert starts == ["a", "next", "error", "hint", "warning"]


def test_a_document_stays_as_it_is(capsys):
    render.document("a:\nb: [c]\n\n")
    assert capsys.readouterr().out == "a:\nb: [c]\n"


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


def test_a_message_of_any_length_can_be_read(capsys):
    render.error(f"{LONG}: {'a' * 5000} is no name", "another name")
    err = capsys.readouterr().err
    assert err.startswith(f"error: {LONG}: aaa")
    assert "a…a" in err
    assert err.endswith("aaa is no name\nhint: another name\n")
    assert len(err) < 1000

    render.error("word " * 3000, "")
    assert len(capsys.readouterr().err) < 2000
