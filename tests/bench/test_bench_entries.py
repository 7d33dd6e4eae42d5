"""Which files are timed, in which ways, and beside what."""

from __future__ import annotations

from dataclasses import replace

import onnx
import pytest

from binarize import api
from binarize.benching import entries, lineup
from binarize.benching.baseline import export_float
from binarize.benching.entries import Entry, entries_of, find
from binarize.errors import ExportError, RunError
from binarize.progress import Progress
from binarize.rewrite import Options, SourceOptions
from binarize.runtime import FileInfo, metadata
from binarize.runtime.memory import noise
from binarize.runtime.session import answer, load


def numel(path) -> int:
    """Elements of a file's float weights that have more than one axis."""
    tensors = onnx.load(path).graph.initializer
    return sum(
        int(onnx.numpy_helper.to_array(one).size)
        for one in tensors
        if one.data_type == onnx.TensorProto.FLOAT and len(one.dims) > 1
    )


def stand(files, folder, **options):
    """The line-up, without kernels, and its notes."""
    notes: list[str] = []
    wanted = {"kernels": False, "int8": False, **options}
    found = lineup.line_up(files, folder, progress=Progress(), notes=notes, **wanted)
    return found, notes


def test_a_run_means_its_file_and_a_file_counts_once(packed_run, packed):
    (file,) = find([packed_run, packed, str(packed)])
    assert (file.name, file.path) == (str(packed), packed)


def test_without_a_name_it_is_the_newest_run(packed_run, packed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError):
        find([])
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/it").symlink_to(packed_run)
    assert find([])[0].path.resolve() == packed


def test_a_directory_without_a_file_says_what_to_do(packed_run, tmp_path):
    with pytest.raises(ExportError, match=r"without model\.onnx"):
        find([tmp_path])
    (tmp_path / "run.json").write_text((packed_run / "run.json").read_text())
    with pytest.raises(ExportError, match="holds no ONNX file") as error:
        find([tmp_path])
    assert error.value.hint == f"write it: binarize export {tmp_path} --onnx"


@pytest.mark.parametrize(
    ("wanted", "useful", "ways"),
    [(True, True, [False, True]), (True, False, [False]), (False, True, [False])],
)
def test_kernels_are_used_where_wanted_and_of_use(wanted, useful, ways, packed, monkeypatch):
    monkeypatch.setattr(entries, "uses_kernels", lambda path: useful)
    (file,) = find([packed])
    assert [entry.kernels for entry in entries_of(file, wanted)] == ways


def test_a_file_that_needs_the_kernels(packed, monkeypatch):
    (file,) = find([packed])
    native = replace(file, info=file.info.replace(form="native"))
    monkeypatch.setattr(entries, "uses_kernels", lambda path: True)
    assert [entry.kernels for entry in entries_of(native, True)] == [True]
    with pytest.raises(ExportError, match="needs the binarize kernels"):
        entries_of(native, False)


def test_the_float_model_is_that_of_the_architecture(packed, tmp_path):
    (first, other), notes = stand(find([packed]), tmp_path)
    assert (first.file, first.form, first.kernels) == ("timm/cifar_resnet20", "float", False)
    assert (first.baseline, first.given) == (True, False)
    assert (other.file, other.form, other.baseline) == (str(packed), "packed", False)
    kernels = 3 * 16 + 2 * 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64
    assert numel(first.path) == 9 * kernels + 10 * 64
    assert notes == ["float: timm/cifar_resnet20, built for this with random weights"]


def test_a_file_that_takes_pixels_is_held_against_a_float_model_that_does(packed, tmp_path):
    (file,) = find([packed])
    whole = replace(file, info=file.info.replace(with_preprocess=True))
    (first, _), _ = stand([whole], tmp_path)
    session = load(first.path)
    (pixels,) = noise(session, 2).values()
    assert (pixels.shape, pixels.dtype.name) == ((2, 32, 32, 3), "uint8")
    assert answer(first.path, session, noise(session, 2)).sum() == pytest.approx(2)
    assert metadata(first.path).with_preprocess
    assert whole.architecture != file.architecture


def test_a_replaced_stem_stays_and_block_surgery_does_not(tmp_path):
    """As in the twin that a recipe trains."""
    options = Options(stem="cifar", activations="sign", structure="bireal")
    saved = api.convert_to_run(
        "resnet18", options, SourceOptions(pretrained=False, img_size=32), dry_run=True
    )
    about, info = saved.info, saved.info.conversion
    assert info.replaced_stem
    assert info.edits
    said = FileInfo(
        form="packed",
        parity="exact",
        model=about.model,
        weights="random",
        preprocess=about.preprocess,
        conversion=info,
    )
    export_float(said, tmp_path / "float.onnx", tmp_path / "weights")
    graph = onnx.load(tmp_path / "float.onnx").graph
    first = next(node for node in graph.node if node.op_type == "Conv")
    (weight,) = [one for one in graph.initializer if one.name == first.input[1]]
    assert list(weight.dims) == [64, 3, 3, 3]
    assert sum(node.op_type == "Add" for node in graph.node) == 8


def test_a_float_file_that_is_given_is_the_baseline(packed, float_file, tmp_path):
    (first, other), notes = stand(find([packed, float_file]), tmp_path)
    assert (first.path, first.baseline, first.given) == (float_file, True, True)
    assert (other.path, other.baseline) == (packed, False)
    assert notes == []
    assert list(tmp_path.iterdir()) == []


def test_a_module_of_the_callers_own_is_its_own_baseline(packed, tmp_path):
    (file,) = find([packed])
    spec = {"name": "Net", "library": "custom", "library_version": "", "kwargs": {}}
    mine = replace(file, info=file.info.replace(model=spec))
    (first,), notes = stand([mine], tmp_path, int8=True)
    assert (first.form, first.baseline) == ("packed", True)
    assert "ratios are to the file itself in stock onnxruntime" in notes[0]
    assert "no int8 model" in notes[1]


def test_another_architecture_has_another_baseline(packed, float_file, tmp_path, monkeypatch):
    def built(file, folder):
        return Entry("it", float_file, "float", False, file.architecture, True, False)

    monkeypatch.setattr(lineup, "float_entry", built)
    (file,) = find([packed])
    larger = replace(
        file, info=file.info.replace(preprocess=file.info.preprocess.replace(img_size=64))
    )
    found, notes = stand([file, larger, file], tmp_path)
    assert [entry.baseline for entry in found] == [True, False, False, True, False]
    assert len({entry.architecture for entry in found}) == 2
    assert len(notes) == 2
