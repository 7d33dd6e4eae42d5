"""What a measurement comes to, on small files and in few rounds; never how many milliseconds."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

import binarize
from binarize.benching import measure
from binarize.benching.entries import Entry
from binarize.benching.measure import Setting, max_diff
from binarize.kernels import installed
from binarize.progress import Progress

KEYS = {
    *("file", "form", "kernels", "threads", "batch", "median_ms", "p10_ms", "p90_ms"),
    *("ratio_to_float", "load_ms", "peak_mb", "bytes", "max_diff"),
}
needs_kernels = pytest.mark.skipif(installed() is None, reason="needs the native kernels")


def test_every_way_of_running_a_file_is_a_result(packed_run, packed):
    told: list[str] = []

    class Listening(Progress):
        def task(self, what: str, total: int | None = None, done: int = 0) -> None:
            told.append(what)

    done = binarize.bench(
        packed_run,
        rounds=3,
        batch=2,
        kernels=False,
        int8_baseline=True,
        progress=Listening(),
    )
    rows = done.as_json()
    assert all(set(row) == KEYS for row in rows)
    assert [(row["file"], row["form"]) for row in rows] == [
        ("timm/cifar_resnet20", "float"),
        ("timm/cifar_resnet20", "float-int8"),
        (str(packed), "packed"),
    ]
    for row in rows:
        assert (row["threads"], row["batch"], row["kernels"]) == (1, 2, False)
        assert 0 < row["p10_ms"] <= row["median_ms"] <= row["p90_ms"]
        assert row["load_ms"] > 0
        assert row["max_diff"] is None
    assert rows[0]["ratio_to_float"] == 1.0
    assert rows[2]["bytes"] == packed.stat().st_size < rows[1]["bytes"] < rows[0]["bytes"]
    assert told[:2] == ["exporting the float model", "quantising the float model"]
    assert told[2:] == ["loading", "warming up", "rounds", "memory"]
    json.dumps(rows)


def test_threads_reach_the_sessions_and_do_not_spin(packed):
    entry = Entry("it", packed, "packed", False, "")
    settings = Setting(2, 1, 1).load(entry).get_session_options()
    assert settings.intra_op_num_threads == 2
    assert settings.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_the_ratio_is_the_median_of_the_rounds_own_ratios(packed, float_file, monkeypatch):
    entries = [
        Entry("float", float_file, "float", False, "", baseline=True),
        Entry("packed", packed, "packed", False, ""),
    ]
    times = np.array([[1.0, 2.0, 10.0], [0.5, 4.0, 5.0]])
    monkeypatch.setattr(measure, "run_all", lambda *_: times)
    monkeypatch.setattr(measure, "peak_bytes", lambda *_: None)
    first, other = measure.measure(entries, Setting(1, 1, 3), Progress())
    assert (first.ratio_to_float, other.ratio_to_float) == (1.0, 0.5)
    assert (first.median_ms, other.median_ms) == (2.0, 4.0)
    assert (first.peak_mb, other.peak_mb) == (None, None)


class Fixed:
    """A session that answers every image with the same logits."""

    def __init__(self, *logits: float) -> None:
        self.logits = np.array([logits], np.float32)

    def get_inputs(self):
        return [_Input]

    def run(self, outputs, feed):
        return [np.repeat(self.logits, len(feed["image"]), 0)]


class _Input:
    name, shape, type = "image", ["batch", 3, 2, 2], "tensor(float)"


def test_kernels_are_compared_with_stock_onnxruntime_of_the_same_file(packed, float_file):
    stock = Entry("a", packed, "packed", False, "")
    ours = Entry("a", packed, "packed", True, "")
    other = Entry("b", float_file, "float", False, "")
    entries, sessions = [other, stock, ours], [Fixed(9, 9), Fixed(-4, 1), Fixed(-4, 1.5)]
    setting = Setting(1, 1, 1)
    diffs = [max_diff(entry, entries, sessions, setting) for entry in entries]
    assert diffs == [None, None, 0.125]
    assert max_diff(ours, [ours], [Fixed(1)], setting) is None


@needs_kernels
def test_kernels_compute_what_stock_onnxruntime_does(packed):
    done = binarize.bench(packed, rounds=2)
    ours = [result for result in done.results if result.kernels]
    assert len(ours) == 1
    assert ours[0].max_diff <= 1e-4


def test_the_profile_is_of_the_files_alone(packed):
    done = binarize.bench(packed, rounds=2, kernels=False, profile=True)
    content = done.as_json()
    assert set(content) == {"results", "profile"}
    assert content["results"] == [asdict(result) for result in done.results]
    assert {row["file"] for row in content["profile"]} == {str(packed)}
    assert set(content["profile"][0]) == {
        *("file", "form", "kernels", "node", "op", "median_ms", "share"),
    }
    assert sum(row["op"] == "Conv" for row in content["profile"]) >= 7
