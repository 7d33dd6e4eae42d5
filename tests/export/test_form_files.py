"""Whole files in every form: what is in them, how large they are, and that the gate still bites."""

from __future__ import annotations

import typing
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from form_params import HERE, STOCK, logits
from torch import nn

import binarize
from binarize.errors import ExportError
from binarize.exporting.classifier import CLASSIFIERS
from binarize.exporting.disagreements import find_disagreements
from binarize.exporting.forms import FORMS
from binarize.exporting.forms.calibration import clone
from binarize.exporting.forms.emit import ABOVE
from binarize.exporting.forms.inline import write_inline
from binarize.exporting.graph import to_graph
from binarize.exporting.images import Images
from binarize.layers import freeze
from binarize.recipe.schema import Export
from binarize.runtime import metadata

STANDARD = [name for name in STOCK if name != "packed"]
OTHERS = [one for one in HERE if one.values != ("packed",)]
MODES = {"W1A32": "float", "step": "step", "sign": "sign"}


class Net(nn.Module):
    """Layers over two axes and over one, rows and sequences, one used twice, one that leaves bits over."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 9, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(9)
        self.line = nn.Conv1d(9, 11, 3, padding=1)
        self.rows = nn.Linear(16, 16)
        self.flat = nn.Linear(176, 7)
        self.head = nn.Linear(7, 3)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(torch.relu(self.stem(x)))))
        x = torch.relu(self.rows(self.rows(torch.relu(self.line(x.flatten(2))))))
        return self.head(torch.relu(self.flat(x.flatten(1))))


def net(activations: str = "float") -> nn.Module:
    torch.manual_seed(0)
    return binarize.convert(Net().eval(), img_size=4, activations=activations)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(form, mode) -> (file, result), each made once."""
    folder, made = tmp_path_factory.mktemp("forms"), {}

    def write(form: str, mode: str):
        if (form, mode) not in made:
            path = folder / f"{form}-{mode}.onnx"
            made[form, mode] = path, binarize.export(net(MODES[mode]), path, form=form)
        return made[form, mode]

    return write


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", HERE)
def test_each_form_passes_the_gate_and_says_what_it_is(written, form: str, mode: str) -> None:
    path, result = written(form, mode)
    rounds = (form, mode) == ("int8", "W1A32")
    assert result.form == metadata(path).form == form
    assert result.parity == metadata(path).parity == ("quantised" if rounds else "exact")
    assert (result.calibrated_on is not None) is rounds


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", STANDARD)
def test_two_forms_are_of_standard_ops(written, form: str, mode: str) -> None:
    path, _ = written(form, mode)
    model = onnx.load(path)
    assert not model.functions
    assert {node.domain for node in model.graph.node} == {""}
    assert [entry.domain for entry in model.opset_import] == [""]
    bits = [one for one in model.graph.initializer if one.name.endswith(".bits")]
    assert len(bits) == 4
    assert {one.data_type for one in bits} == {onnx.TensorProto.UINT8}
    assert sum(one.dims[0] for one in bits) == 81 + 38 + 32 + 154


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", STANDARD)
def test_onnxruntime_unpacks_the_bits_once(written, tmp_path, form: str, mode: str) -> None:
    path, _ = written(form, mode)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    left = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert not {"BitwiseAnd", "Slice", "Transpose", "Neg"} & set(left)
    if form == "int8":
        assert sum(left[op] for op in left if op.startswith(("ConvInteger", "MatMulInteger"))) == 5


@pytest.mark.parametrize("mode", ["step", "sign"])
@pytest.mark.parametrize("form", OTHERS)
def test_forms_of_binary_inputs_agree_in_every_bit_of_their_sums(
    written, form: str, mode: str
) -> None:
    images = torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(5))
    first, other = (logits(written(one, mode)[0], images) for one in ("packed", form))
    np.testing.assert_allclose(other, first, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["step", "sign"])
@pytest.mark.parametrize("form", OTHERS)
def test_flips_are_traced_in_every_form(written, tmp_path, form: str, mode: str) -> None:
    """Of the file as it is, none; of one whose shift was moved by more than rounding, one too large."""
    path, _ = written(form, mode)
    model = net(MODES[mode])
    images = Images(torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0)), "noise")
    plain = clone_of(model)

    def surrogate() -> bytes:
        return plain

    kernels = FORMS[form].kernels
    found = find_disagreements(path, model, images, surrogate, kernels)
    assert (found.flips, found.largest_flip) == (0, 0)
    assert found.explain(1e-4)

    moved = onnx.load(path)
    boundary = next(
        one for one in moved.graph.initializer if one.name.endswith((".shift", ".threshold"))
    )
    values = onnx.numpy_helper.to_array(boundary) + np.float32(0.3)
    boundary.CopyFrom(onnx.numpy_helper.from_array(values, boundary.name))
    onnx.save(moved, tmp_path / "moved.onnx")
    found = find_disagreements(tmp_path / "moved.onnx", model, images, surrogate, kernels)
    assert found.flips > 0
    assert found.largest_flip > 1e-3
    assert not found.explain(1e-4)


def clone_of(model: nn.Module) -> bytes:
    """The smooth surrogate of the inline form."""
    import copy

    import onnx_ir as ir

    plain = copy.deepcopy(model).eval()
    graph = clone(to_graph(plain, freeze(plain), (3, 4, 4), 20))
    write_inline(graph, smooth=True)
    return ir.to_proto(graph).SerializeToString()


def test_the_node_that_compares_has_its_layer_s_name(written) -> None:
    names = [node.name for node in onnx.load(written("inline", "sign")[0]).graph.node if node.name]
    assert [name for name in names if name.endswith(ABOVE)] == [
        f"{name}{ABOVE}" for name in ("conv", "line", "rows", "rows@2", "flat")
    ]


@pytest.mark.parametrize("form", HERE)
def test_a_model_without_binary_layers_is_plain_onnx(tmp_path, form: str) -> None:
    torch.manual_seed(0)
    model = binarize.convert(Net().eval(), img_size=4, keep=["*"])
    result = binarize.export(model, tmp_path / "m.onnx", form=form)
    assert (result.form, result.parity, result.calibrated_on) == ("float", "exact", None)


def test_an_unknown_form_is_refused_with_those_that_there_are(tmp_path) -> None:
    with pytest.raises(ExportError, match='no form "packd"') as error:
        binarize.export(net(), tmp_path / "m.onnx", form="packd")
    assert error.value.hint == "take one of packed, inline, int8, native"
    assert not list(tmp_path.iterdir())


def test_recipes_know_the_same_words() -> None:
    fields = Export.model_fields
    assert typing.get_args(fields["form"].annotation) == tuple(FORMS)
    assert typing.get_args(fields["classifier"].annotation) == tuple(CLASSIFIERS)
