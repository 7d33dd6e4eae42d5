"""Sessions of files, and what is said of a file that is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from binarize.errors import ExportError
from binarize.runtime import FileInfo, metadata, open_session

INFO = FileInfo.from_data(
    {
        "format": 2,
        "form": "float",
        "parity": "exact",
        "model": {"name": "sum", "library": "custom"},
        "weights": "none",
        "preprocess": {
            "img_size": 2,
            "mean": [0.5] * 3,
            "std": [0.25] * 3,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
        },
    }
)
GRAPH = """
<ir_version: 10, opset_import: ["" : 20]>
sum (float[batch, 3, 2, 2] image) => (float[batch, 3] logits) {
  axes = Constant <value = int64[2] {2, 3}> ()
  logits = ReduceSum <keepdims = 0> (image, axes)
}
"""


def write(path: Path, text: str = GRAPH, info: FileInfo | None = INFO) -> Path:
    model = onnx.parser.parse_model(text)
    if info is not None:
        onnx.helper.set_model_props(model, info.to_properties())
    onnx.save(model, path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "sum.onnx")


def test_a_session_answers_and_says_what_it_is(file: Path) -> None:
    session = open_session(file, threads=1)
    assert session.info == INFO == metadata(file)
    assert session.runner.get_session_options().intra_op_num_threads == 1
    neither_float32_nor_dense = np.arange(24, dtype=np.float64).reshape(2, 3, 2, 2)[:, :, ::-1]
    logits = session.logits(neither_float32_nor_dense)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits, neither_float32_nor_dense.sum((2, 3)))


def test_images_of_another_size_are_refused(file: Path) -> None:
    with pytest.raises(ExportError, match=r"\[1, 3, 4, 4\]") as error:
        open_session(file).logits(np.zeros((1, 3, 4, 4), np.float32))
    assert "3x2x2" in error.value.hint


@pytest.mark.parametrize(
    ("kept", "odd", "words"),
    [
        ("float[batch, 3, 2, 2] image", "float[batch, 3, s, t] image", "not a batch of images"),
        ("float[batch, 3, 2, 2] image", "float[batch, 3, 0, 2] image", "not a batch of images"),
        ("float[batch, 3, 2, 2] image", "double[batch, 3, 2, 2] image", r"tensor\(double\)"),
        ("image)", "image, float[2] more)", r"tensor\(float\) \[2\]"),
    ],
)
def test_ends_that_are_not_images_and_logits(
    tmp_path: Path, kept: str, odd: str, words: str
) -> None:
    path = write(tmp_path / "odd.onnx", GRAPH.replace(kept, odd, 1))
    with pytest.raises(ExportError, match=words) as error:
        open_session(path)
    assert str(path) in error.value.message


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (
            "sums = ReduceSum <keepdims = 0> (image, axes) logits = SequenceConstruct (sums)",
            r"list \[1, 2, 3\]",
        ),
        ("logits = ReduceSum <keepdims = 0> (image)", r"float32 \[\], not with logits"),
    ],
)
def test_answers_that_are_no_logits(tmp_path: Path, last: str, words: str) -> None:
    text = GRAPH.replace("logits = ReduceSum <keepdims = 0> (image, axes)", last)
    text = text.replace("(float[batch, 3] logits)", "(logits)")
    session = open_session(write(tmp_path / "odd.onnx", text))
    with pytest.raises(ExportError, match=words):
        session.logits(np.zeros((2, 3, 2, 2), np.float32))


def test_an_operator_that_onnxruntime_does_not_know(tmp_path: Path) -> None:
    text = GRAPH.replace("ReduceSum", "ReduceEverything")
    with pytest.raises(ExportError, match=r"refuses .*ReduceEverything"):
        open_session(write(tmp_path / "unknown.onnx", text))


@pytest.mark.parametrize("read", [metadata, open_session])
def test_files_that_are_none_of_ours(tmp_path: Path, file: Path, read) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "half.onnx").write_bytes(file.read_bytes()[:100])
    write(tmp_path / "foreign.onnx", info=None)
    says = {
        "text": "corrupt, truncated",
        "empty": "corrupt, truncated",
        "half": "corrupt, truncated",
        "foreign": "format None",
        "missing": "there is no file",
    }
    for name, words in says.items():
        with pytest.raises(ExportError, match=words) as error:
            read(tmp_path / f"{name}.onnx")
        assert f"{name}.onnx" in error.value.message
        assert error.value.hint


def test_every_length_of_a_cut_file_is_refused(tmp_path: Path, file: Path) -> None:
    whole, part = file.read_bytes(), tmp_path / "part.onnx"
    for length in range(0, len(whole), 7):
        part.write_bytes(whole[:length])
        with pytest.raises(ExportError, match=r"part\.onnx"):
            open_session(part)
