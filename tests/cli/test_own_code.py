"""A network of one's own file, from the command line: made where the user names it, by no run itself.

Exporting and evaluating such a run: docs/your-network.md, whose commands are run.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typed import run

import binarize
from binarize.errors import RunError
from binarize.run import open_run

NETS = """
from pathlib import Path
from blocks import Block
from torch import nn

with Path("imported").open("a") as file:
    file.write("x")


class Net(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, width, 3, 2, 1), Block(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.block(self.stem(x).relu()).mean((2, 3)))


def make_net(width=8, classes=10):
    return Net(width, classes)


def wrong():
    return [1]


net = Net(8, 10)
"""
BLOCKS = """
from torch import nn


def Block(width):
    return nn.Conv2d(width, width, 3, padding=1)
"""
PLACE = "nets.py:make_net"
IMAGES = ("--img-size", 16, "--mean", 0.5, "--std", "0.25,0.25,0.3")
RECIPE = ("--recipe", "digits", "--set", "twin=false", "--set", "stages.0.epochs=null")


@pytest.fixture
def home(folder: Path) -> Path:
    (folder / "nets.py").write_text(NETS)
    (folder / "blocks.py").write_text(BLOCKS)
    (folder / "names.txt").write_text("\n".join("abcdefghij") + "\n")
    return folder


def imports(home: Path) -> int:
    """How often the file was imported so far."""
    file = home / "imported"
    return len(file.read_text()) if file.exists() else 0


def test_the_whole_road(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--model-arg", "width=4", "--classes", "names.txt", *IMAGES, "-o", "runs/net")
    assert run("convert", PLACE, *words) == 0
    assert "next: binarize train runs/net --recipe digits --code nets.py:make_net" in (
        capsys.readouterr().out
    )
    info = open_run("runs/net").info
    assert (info.code, info.model.kwargs, info.classes) == (PLACE, {"width": 4}, list("abcdefghij"))
    assert (info.preprocess.mean, info.preprocess.std) == ([0.5] * 3, [0.25, 0.25, 0.3])

    before = imports(home)
    for command in (
        *(("export", "runs/net", "--onnx"), ("convert", "runs/net")),
        ("train", "runs/net", *RECIPE, "--set", "stages.0.steps=2"),
    ):
        assert run(*command) == 1, command
        assert f"--code {PLACE}" in capsys.readouterr().err
    assert run("summary", "runs/net") == 0
    assert imports(home) == before
    assert run("convert", "runs/net", "--model-arg", "width=4", "--code", PLACE) == 1
    assert "is made already" in capsys.readouterr().err

    code = ("--code", PLACE)
    trained = ("-o", "runs/trained", "--set", "stages.0.steps=2")
    assert run("train", "runs/net", *RECIPE, *trained, *code) == 0
    assert f"next: binarize export --onnx --code {PLACE}" in capsys.readouterr().out
    capsys.readouterr()
    assert run("convert", "runs/trained", "--estimator", "ste", "--dry-run", "--json", *code) == 0
    assert json.loads(capsys.readouterr().out)["weights"] == "run trained"

    import nets_of_test

    with binarize.own_code(lambda width: nets_of_test.Net(width, 10)):
        model = binarize.load("runs/trained")
    assert model.stem.out_channels == 4
    with pytest.raises(RunError, match="own code"):
        binarize.load("runs/trained")


@pytest.fixture(autouse=True)
def importable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same classes for Python, under another name."""
    (folder / "nets_of_test.py").write_text(NETS)
    monkeypatch.syspath_prepend(str(folder))


def test_other_classes_than_the_code_makes(home: Path) -> None:
    assert run("convert", "nets.py:net", "--num-classes", 3, *IMAGES, "-o", "runs/net") == 0
    assert open_run("runs/net").info.random == ["head"]
    with binarize.own_code("nets.py:net"):
        assert binarize.load("runs/net").head.out_features == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nets.py:make_nett",), 'did you mean "make_net"?'),
        (("nothing.py:make_net",), 'there is no file "nothing.py"'),
        (("nets.py:wrong",), "is a list, not a torch.nn.Module"),
        ((PLACE, "--model-arg", "depth=3"), "raised TypeError"),
        ((PLACE, "--model-arg", "weights_file=x"), "is not an argument that a run may keep"),
        ((PLACE, "--classes", "blocks.py", "--img-size", "16"), "names of classes"),
        (("cifar_resnet20", "--model-arg", "shortcut=middle"), "shortcut should be centre or end"),
        ((PLACE, "--classes", "three.txt", "--img-size", "16"), "there are 3 names of classes"),
        (("exits.py:x",), '"exits.py" cannot be imported: SystemExit'),
    ],
)
def test_what_is_wrong_is_said(
    words: tuple[str, ...], said: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "exits.py").write_text("import sys\nsys.exit(0)\n")
    (home / "three.txt").write_text("a\nb\nc\n")
    assert run("convert", *words) == 1
    assert said in capsys.readouterr().err
    assert not (home / "runs").exists()


@pytest.mark.parametrize("words", [("--model-arg", "3"), ("--mean", "grey")])
def test_wrong_usage(words: tuple[str, ...], home: Path) -> None:
    assert run("convert", PLACE, *words) == 2


def test_a_recipe_names_no_code(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"extends: digits\nmodel: {{name: '{PLACE}'}}\n"
    (home / "mine.yaml").write_text(text)
    for words in (("--recipe", "mine.yaml"), (PLACE, "--recipe", "digits")):
        assert run("train", *words) == 1
        assert f"binarize convert {PLACE}" in capsys.readouterr().err
    assert imports(home) == 0


def test_the_code_of_a_run_has_to_be_its_own(home: Path) -> None:
    assert run("convert", PLACE, *IMAGES, "-o", "runs/net") == 0
    with (
        binarize.own_code(torch.nn.Identity()),
        pytest.raises(binarize.errors.BinarizeError, match="makes a Identity"),
    ):
        binarize.load("runs/net")
