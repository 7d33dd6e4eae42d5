"""Where the time of a session goes, and how much memory it takes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import onnx.parser
import pytest

from binarize.errors import ExportError
from binarize.runtime.memory import STATUS, peak_bytes
from binarize.runtime.profile import NodeTime, node_times, profile

MIB = 1 << 20


def model(path: Path, mib: int) -> Path:
    """A sum with a constant of that size, and its square root."""
    text = f"""
    <ir_version: 10, opset_import: ["" : 20]>
    toy (float[batch, {mib * MIB // 4}] image) => (float[batch, {mib * MIB // 4}] logits)
    <float[1] one = {{1.0}}> {{
      [add] sum = Add (image, one)
      [root] logits = Sqrt (sum)
    }}
    """
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def event(name: str, op: str, us: int, cat: str = "Node", index: str = "0") -> dict:
    about = {"op_name": op, "node_index": index}
    return {"cat": cat, "name": name, "dur": us, "args": about}


def test_a_node_takes_the_median_of_its_runs_without_the_first_ones():
    events = [
        event("session_initialization", "", 900, cat="Session"),
        *(event("conv_kernel_time", "Conv", us) for us in (9000, 1000, 3000, 2000)),
        *(event("fc_kernel_time", "Gemm", us, index="1") for us in (9000, 6000, 6000, 6000)),
        event("conv_fence_before", "Conv", 5),
    ]
    assert node_times(events, skip=1) == [
        NodeTime("fc", "Gemm", 6.0, 0.75),
        NodeTime("conv", "Conv", 2.0, 0.25),
    ]


def test_nodes_of_one_name_stay_apart():
    events = [event("x_kernel_time", "Relu", us, index=index) for us, index in ((1, "0"), (3, "1"))]
    assert [node.share for node in node_times(events)] == [0.75, 0.25]


def test_no_events_no_nodes():
    assert node_times([]) == []


def test_a_session_is_profiled_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    file = model(tmp_path / "toy.onnx", 1)
    nodes = profile(file, threads=1, batch=1, kernels=False, runs=2)
    assert {(node.node, node.op) for node in nodes} == {("add", "Add"), ("root", "Sqrt")}
    assert sum(node.share for node in nodes) == pytest.approx(1)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["toy.onnx"]


@pytest.mark.skipif(not STATUS.is_file(), reason="needs /proc, which Linux alone has")
def test_peak_memory_grows_with_what_a_run_needs(tmp_path):
    small = peak_bytes(model(tmp_path / "small.onnx", 1), 1, 1, False)
    large = peak_bytes(model(tmp_path / "large.onnx", 16), 1, 4, False)
    assert small > 0
    assert large - small > 2 * 60 * MIB - 16 * MIB  # input and output, four images each


def test_a_process_that_fails_has_no_peak(tmp_path):
    assert peak_bytes(tmp_path / "missing.onnx", 1, 1, False) is None
    with pytest.raises(ExportError, match="refuses"):
        profile(tmp_path / "missing.onnx", 1, 1, False, 1)
