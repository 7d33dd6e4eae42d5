from __future__ import annotations

import json

import pytest

from binarize import estimators
from binarize.cli import app


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(capsys, *args):
    code = app.main(["estimators", *args])
    return code, *capsys.readouterr()


def test_ls_lists_the_table(capsys):
    code, out, err = run(capsys, "ls")
    assert (code, err) == (0, "")
    lines = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert [word for word in lines if word in estimators.TABLE] == list(estimators.TABLE)
    assert out.splitlines()[-1] == "next: binarize estimators plot"


def test_ls_as_json(capsys):
    code, out, err = run(capsys, "ls", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert err == "next: binarize estimators plot\n"
    assert list(rows) == list(estimators.TABLE)
    assert rows["reste"]["constants"][0] == {
        "name": "o_end",
        "default": 3.0,
        "meaning": "order of the root at p = 1",
        "range": "1 <= o_end",
    }
    assert rows["ab-tanh"]["progress"] == 1.0
    assert rows["ab-tanh"]["distance_to_sign"] == pytest.approx(0.294, abs=3e-3)
    assert rows["ab-tanh"]["gradient_variance"] == pytest.approx(1.297, abs=3e-3)
    assert "reconstruction" in rows["ab-tanh"]["source"]
    assert rows["ste"]["gradient_variance"] == 0


def test_ls_at_another_progress(capsys):
    _, out, _ = run(capsys, "ls", "--json", "--progress", "0")
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows["ab-tanh"]["distance_to_sign"] == rows["ste"]["distance_to_sign"]


def test_plot_draws_all_of_them_by_default(capsys, tmp_path):
    code, out, err = run(capsys, "plot")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "wrote estimators.svg",
        "next: binarize convert resnet18 --estimator ab-arctan",
    ]
    svg = (tmp_path / "estimators.svg").read_text(encoding="utf-8")
    assert all(f"{name}: f(x)" in svg for name in estimators.TABLE)


def test_plot_as_json(capsys, tmp_path):
    code, out, _ = run(
        capsys, "plot", "ede", "ste", "--progress", "1", "--progress", "0", "-o", "p.png", "--json"
    )
    assert code == 0
    expected = {"file": "p.png", "estimators": ["ede", "ste"], "progress": [0.0, 1.0]}
    assert json.loads(out) == expected
    assert (tmp_path / "p.png").is_file()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (
            ("plot", "ab-tan"),
            1,
            'error: there is no estimator "ab-tan"\nhint: did you mean "ab-tanh"?\n',
        ),
        (
            ("plot", "-o", "p.gif"),
            1,
            'error: cannot plot into "p.gif"\nhint: name a file that ends in .svg or .png\n',
        ),
        (("plot", "--progress", "2"), 2, "hint: see binarize estimators plot --help\n"),
        (("ls", "--progress", "x"), 2, "hint: see binarize estimators ls --help\n"),
    ],
)
def test_bad_input_leaves_nothing_behind(capsys, tmp_path, args, code, said):
    found, out, err = run(capsys, *args)
    assert (found, out) == (code, "")
    assert err.endswith(said)
    assert list(tmp_path.iterdir()) == []
