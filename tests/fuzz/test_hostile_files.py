"""A run and an ONNX file that ask for what a file must not have: each is refused by the name of its field."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import documents
import fuzz_metadata
import pytest
import trained
from forks import REFUSED, Outcome
from judge import judge

ARGUMENTS = (
    *("checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"),
    *("weights", "weights_backbone", "features_only", "device", "dtype"),
)


class Spoilt:
    """The stored run and its file with another value in what they say."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, folder / "run"
        (self.base,) = trained.bases(folder, made=False)
        shutil.copytree(self.base.run, self.run)
        self.document = json.loads((self.run / "run.json").read_text())

    def as_run(self, place: tuple[str, ...], value: Any, *command: str) -> Outcome:
        file = self.run / "run.json"
        file.write_text(documents.json_text(documents.changed(self.document, place, value)))
        return judge([command[0], str(self.run), *command[1:]], file, self.folder)

    def as_file(self, place: tuple[str, ...], value: Any, *command: str) -> Outcome:
        described = documents.changed(self.base.described, place, value)
        file = self.folder / "spoilt.onnx"
        file.write_bytes(fuzz_metadata.file_of(self.base, described))
        return judge([command[0], str(file), *command[1:]], file)


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoilt]:
    folder = tmp_path_factory.mktemp("hostile")
    with trained.quick(), pytest.MonkeyPatch.context() as patch:
        (folder / "tmp").mkdir()
        patch.setattr("tempfile.tempdir", str(folder / "tmp"))
        yield Spoilt(folder)


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_arguments_that_open_or_fetch_are_refused_by_name(
    argument: str, spoilt: Spoilt, tmp_path: Path
) -> None:
    place = ("model", "kwargs", argument)
    value = documents.extras(tmp_path / "weights.pth")[argument]
    out = str(spoilt.folder / "out.onnx")

    outcomes = [
        spoilt.as_run(place, value, "export", "--onnx", out),
        spoilt.as_file(place, value, "bench", "--rounds", "1"),
    ]

    for outcome in outcomes:
        assert outcome.kind == REFUSED, outcome
        assert f"model.kwargs.{argument}" in outcome.words


def test_a_folder_that_no_system_has_is_refused(spoilt: Spoilt) -> None:
    outcome = spoilt.as_run(("data", "dir"), "a\0b", "eval", "--limit", "8", "-j", "0")

    assert outcome.kind == REFUSED, outcome
    assert "data.dir" in outcome.words


def test_an_edit_of_a_layer_outside_its_block_is_refused(spoilt: Spoilt) -> None:
    block = {"module": "layer1.0", "arguments": {"x": "tensor"}}
    edit = {"pass": "shortcut", "layer": "", "block": block, "stride": 1}
    edit |= {"taken": ["conv2", 0, 0], "behind": ["bn2", 0]}
    out = str(spoilt.folder / "new")
    recipe = spoilt.folder / "mine.yaml"
    recipe.write_text("data: digits\nstages: [{steps: 1, optimizer: {lr: 0.1}}]\n")

    outcome = spoilt.as_run(
        ("conversion", "edits"), [edit], "train", "--recipe", str(recipe), "-o", out
    )

    assert outcome.kind == REFUSED, outcome
    assert "does not fit" in outcome.words


@pytest.mark.parametrize(("name", "value"), [("channels", [65536] * 3), ("blocks", 60_000)])
def test_a_network_far_larger_than_its_weights_is_refused_before_it_is_made(
    name: str, value: object, spoilt: Spoilt
) -> None:
    out = str(spoilt.folder / "out.onnx")

    outcome = spoilt.as_run(("model", "kwargs", name), value, "export", "--onnx", out)

    assert outcome.kind == REFUSED, outcome
