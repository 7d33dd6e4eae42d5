"""Run directories: what is in them, and which is newest."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, ClassVar

import pytest

from binarize.errors import RunError
from binarize.run import (
    Run,
    RunInfo,
    is_run,
    locate,
    newest_run,
    open_run,
    write_info,
)

FIELDS: dict[str, Any] = {
    "format": 2,
    "kind": "converted",
    "model": {"name": "resnet18", "library": "timm", "library_version": "1", "kwargs": {}},
    "conversion": None,
    "weights": "random",
    "preprocess": {
        "img_size": 224,
        "mean": [0.5],
        "std": [0.25],
        "interpolation": "bilinear",
        "crop_pct": 1.0,
    },
}


def info(**changes: Any) -> RunInfo:
    return RunInfo.from_data({**FIELDS, **changes})


def make_run(path: Path, **changes: Any) -> Run:
    path.mkdir(parents=True)
    write_info(path, info(**changes))
    return Run(path)


class TestInfo:
    def test_it_is_read_as_it_was_written(self, tmp_path):
        conversion = {"estimator": {"name": "ste"}, "scale": "channel", "standardise": True}
        written = info(classes=["cat", "dog"], parent="runs/x", conversion=conversion)
        write_info(tmp_path, written)
        assert open_run(tmp_path).info == written
        assert open_run(str(tmp_path)).info == written

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "damaged"),
            ("{", "damaged"),
            ("\xff\xfe", "damaged"),
            ("[" * 100_000, "damaged"),
            ("[]", "mapping"),
            ("null", "mapping"),
            ('{"format": 1}', "kind|model"),
            (json.dumps({**FIELDS, "surplus": 2}), "surplus"),
            (json.dumps({**FIELDS, "model": {}}), r"model\.name"),
        ],
    )
    def test_a_damaged_file_is_named_and_what_is_wrong_with_it(self, tmp_path, text, said):
        (tmp_path / "run.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(RunError, match=rf'run\.json": .*({said})') as caught:
            _ = open_run(tmp_path).info
        assert "binarize convert" in caught.value.hint

    def test_a_truncated_file_is_named(self, tmp_path):
        run = make_run(tmp_path / "r")
        text = (run.path / "run.json").read_text()
        (run.path / "run.json").write_text(text[: len(text) // 2])
        with pytest.raises(RunError, match="damaged"):
            _ = run.info

    def test_another_format_is_refused(self, tmp_path):
        run = make_run(tmp_path / "r")
        (run.path / "run.json").write_text(json.dumps({**FIELDS, "format": 99}))
        with pytest.raises(RunError, match="has format 99; this version reads 1 to 2"):
            _ = run.info

    @pytest.mark.parametrize("text", [None, "{"], ids=["missing", "damaged"])
    def test_the_other_json_files_too(self, tmp_path, text):
        run = make_run(tmp_path / "r")
        if text:
            (run.path / "summary.json").write_text(text)
        with pytest.raises(RunError, match=r'summary.json" is missing or damaged'):
            run.read_json("summary.json")

    @pytest.mark.parametrize("name", ["run.json", "summary.json"])
    def test_a_pipe_is_no_file(self, tmp_path, name):
        run = make_run(tmp_path / "r")
        (run.path / name).unlink(missing_ok=True)
        os.mkfifo(run.path / name)
        with pytest.raises(RunError, match=name):
            _ = run.info if name == "run.json" else run.summary
        assert is_run(run.path) == (name != "run.json")


class TestOpen:
    def test_a_path_that_does_not_exist(self, tmp_path):
        with pytest.raises(RunError, match="does not exist"):
            open_run(tmp_path / "nowhere")

    def test_a_directory_that_is_no_run(self, tmp_path):
        assert not is_run(tmp_path)
        with pytest.raises(RunError, match=r"is not a run \(it has no run.json\)"):
            open_run(tmp_path)


class TestWeights:
    def test_the_last_checkpoint_comes_before_the_converted_weights(self, tmp_path):
        run = make_run(tmp_path / "r")
        (run.path / "model.safetensors").touch()
        assert run.weights == run.path / "model.safetensors"
        (run.path / "last").mkdir()
        (run.path / "last" / "model.safetensors").touch()
        assert run.weights == run.path / "last" / "model.safetensors"

    def test_a_checkpoint_directory_names_its_own(self, tmp_path):
        run = make_run(tmp_path / "r")
        for name in ("best", "last"):
            (run.path / name).mkdir()
            (run.path / name / "model.safetensors").touch()
        assert locate(run.path / "best") == (run, run.path / "best" / "model.safetensors")
        assert locate(run.path) == (run, run.path / "last" / "model.safetensors")

    def test_a_run_without_any_says_how_to_get_them(self, tmp_path):
        run = make_run(tmp_path / "r")
        with pytest.raises(RunError, match="holds no weights yet") as caught:
            _ = run.weights
        assert caught.value.hint.endswith(f"binarize train --resume {run.path}")

    def test_the_float_ones_are_those_of_the_parent_or_its_own_latent_ones(self, tmp_path):
        run = make_run(tmp_path / "r")
        (run.path / "model.safetensors").touch()
        assert run.float_weights == run.path / "model.safetensors"
        (run.path / "float").mkdir()
        assert run.float_weights == run.path / "model.safetensors"
        (run.path / "float" / "model.safetensors").touch()
        assert run.float_weights == run.path / "float" / "model.safetensors"

    def test_of_a_fitted_run_they_are_those_of_the_parent_alone(self, tmp_path):
        fit = {"images": 1, "steps": 1, "seconds": 1.0, "error_before": 1.0, "error_after": 0.5}
        run = make_run(tmp_path / "r", fit=fit)
        (run.path / "model.safetensors").touch()
        with pytest.raises(RunError, match="was fitted to a float model") as caught:
            _ = run.float_weights
        assert "--no-keep-float" in caught.value.hint


class TestSummary:
    LAYER: ClassVar[dict[str, Any]] = {
        **{"name": "conv1", "kind": "Conv2d", "shape": [8, 3, 3, 3], "source": "default"},
        **{"action": "float", "reason": "first layer", "params": 216, "macs": 0},
    }
    TOTALS: ClassVar[dict[str, int]] = dict.fromkeys(
        ["params_1bit", "params_32bit", "macs_1bit", "macs_32bit", "bytes_float", "bytes_packed"], 1
    )

    def test_it_is_read_with_what_a_newer_version_adds(self, tmp_path):
        run = make_run(tmp_path / "r")
        written = {"layers": [self.LAYER | {"new": 1}], "totals": self.TOTALS, "newer": "x"}
        (run.path / "summary.json").write_text(json.dumps(written))
        layer = self.LAYER | {"new": 1, "activations": "float", "weights": ""}
        assert run.summary == written | {"layers": [layer]}

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"params": -1}, "params"),
            ({"macs": 1 << 63}, "macs"),
            ({"shape": [1] * 17}, "shape"),
            ({"name": 3}, "name"),
        ],
    )
    def test_a_number_that_is_none_is_damage(self, tmp_path, change, said):
        run = make_run(tmp_path / "r")
        written = {"layers": [self.LAYER | change], "totals": self.TOTALS}
        (run.path / "summary.json").write_text(json.dumps(written))
        with pytest.raises(RunError, match=rf'summary.json" is damaged: layers\.0\.{said}'):
            _ = run.summary


class TestNewest:
    def test_it_is_the_one_made_last_whatever_its_name_or_file_times(self, tmp_path):
        for name, created in (("c", 1.0), ("a", 3.0), ("b", 2.0)):
            make_run(tmp_path / name, created=created)
        os.utime(tmp_path / "c" / "run.json")
        assert newest_run(tmp_path).path.name == "a"

    def test_directories_without_run_json_are_passed_over(self, tmp_path):
        make_run(tmp_path / "a")
        (tmp_path / "b").mkdir()
        assert newest_run(tmp_path).path.name == "a"

    def test_so_is_what_a_killed_process_left_half_made(self, tmp_path):
        make_run(tmp_path / "a", created=1.0)
        make_run(tmp_path / ".b.x7.part", created=2.0)
        assert newest_run(tmp_path).path.name == "a"

    @pytest.mark.parametrize("text", ["{", '{"format": 99}', json.dumps({**FIELDS, "model": {}})])
    def test_a_run_that_cannot_be_read_is_passed_over_and_said(self, tmp_path, text):
        make_run(tmp_path / "a")
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "run.json").write_text(text)
        said = []
        assert newest_run(tmp_path, said.append).path.name == "a"
        assert len(said) == 1
        assert "broken" in said[0]

    def test_none_that_can_be_read_is_none(self, tmp_path):
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "run.json").write_text("{")
        with pytest.raises(RunError, match="there is no run under"):
            newest_run(tmp_path)

    @pytest.mark.parametrize("made", [True, False], ids=["empty", "missing"])
    def test_none_at_all_says_how_to_make_one(self, tmp_path, made):
        root = tmp_path / "runs"
        if made:
            root.mkdir()
        with pytest.raises(RunError, match="there is no run under") as caught:
            newest_run(root)
        assert "binarize convert" in caught.value.hint

    def test_the_default_is_runs_here(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        make_run(Path("runs") / "a")
        assert newest_run().path == Path("runs/a")
