"""`binarize convert --bases`: the table's column, and what is refused."""

from __future__ import annotations

import json

from typed import run

NET = ["convert", "cifar_resnet20", "--no-pretrained", "--dry-run"]


def test_there_is_a_column_only_where_there_are_several(capsys, folder):
    for flags, column in ((["--bases", "2"], ["bases"]), ([], [])):
        capsys.readouterr()
        assert run(*NET, *flags) == 0
        out, _ = capsys.readouterr()
        (heading,) = (line.split() for line in out.splitlines() if " kind " in line)
        assert heading == ["layer", "kind", "shape", "fed", "by", "action", *column, "reason"]


def test_json_has_them(capsys, folder):
    assert run(*NET, "--bases", "3", "--json") == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert [layer["bases"] for layer in layers] == [1, *[3] * 18, 1]


def test_what_cannot_be_is_refused(capsys, folder):
    assert run(*NET, "--bases", "5") == 2
    assert "less than or equal to 4" in capsys.readouterr().err
    assert run(*NET, "--bases", "2", "--scale", "learned") == 1
    assert capsys.readouterr().err.splitlines() == [
        'error: scale "learned" cannot have 2 bases',
        "hint: the scales of several bases are channel and layer",
    ]
