"""`binarize predict`: data on stdout and talk on stderr, of a run and of its file."""

from __future__ import annotations

import csv
import io
import json
import sys

import numpy as np
import pytest
from PIL import Image
from typed import run


@pytest.fixture
def photos(folder):
    """Two pictures that look different, one of them with a name that could steer a terminal."""
    (folder / "photos").mkdir()
    for name, row in (("a.png", 0), ("b\x1b[31m.png", 20)):
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels[row : row + 8] = 255
        Image.fromarray(pixels).save(folder / "photos" / name)
    return folder / "photos"


def answers(capsys, *arguments):
    assert run("predict", *arguments) == 0
    return capsys.readouterr()


def test_json_csv_and_table_say_the_same(trained, photos, capsys):
    out, err = answers(capsys, trained, photos, "--json")
    told = json.loads(out)
    assert [one["image"] for one in told] == [f"{photos}/a.png", f"{photos}/b\x1b[31m.png"]
    for one in told:
        assert len(one["predictions"]) == 5
        assert all(each["class"] == str(each["index"]) for each in one["predictions"])
        shares = [each["probability"] for each in one["predictions"]]
        assert 0.1 <= sum(shares) <= 1
        assert shares == sorted(shares, reverse=True)
    assert err == f"next: binarize export {trained} --onnx --with-preprocess\n"

    out, err = answers(capsys, trained, photos, "--csv", "--top", "2")
    assert "\x1b" not in out
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["rank"], row["class"]) for row in rows[:2]] == [
        (str(rank), each["class"]) for rank, each in enumerate(told[0]["predictions"][:2], 1)
    ]
    assert float(rows[0]["probability"]) == told[0]["predictions"][0]["probability"]
    assert len(rows) == 4
    assert err.startswith("next: ")

    out, err = answers(capsys, trained, photos / "a.png", "--top", "1")
    best = told[0]["predictions"][0]
    (line,) = [line for line in out.splitlines() if "a.png" in line]
    assert line.split()[1:] == [best["class"], f"{100 * best['probability']:.1f}"]
    assert err == ""


def test_an_onnx_file_answers_by_itself(trained, photos, capsys, monkeypatch):
    wanted = json.loads(answers(capsys, trained, photos / "a.png", "--json")[0])[0]["predictions"]

    class Stdin:
        buffer = io.BytesIO((photos / "a.png").read_bytes())

    monkeypatch.setattr(sys, "stdin", Stdin)
    out, err = answers(capsys, trained / "model.onnx", "-", "--json", "--no-kernels")
    ((given,), file) = json.loads(out), trained / "model.onnx"
    assert given["image"] == "-"
    assert [one["class"] for one in given["predictions"]] == [one["class"] for one in wanted]
    shares = [one["probability"] for one in given["predictions"]]
    assert shares == pytest.approx([one["probability"] for one in wanted], abs=1e-4)
    assert err == f"next: binarize bench {file}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--json", "--csv"], 2, "both want stdout"),
        (["-", "-"], 2, "stdin holds one image"),
        (["--on-error", "ignore"], 2, '--on-error is "ignore"'),
        (["broken.png"], 1, 'image "broken.png" cannot be read'),
    ],
)
def test_what_is_refused(trained, photos, capsys, arguments, code, words):
    (photos.parent / "broken.png").write_bytes(b"none")
    assert run("predict", trained, photos / "a.png", *arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err.splitlines()[0]
    assert err.splitlines()[1].startswith("hint: ")
