"""Files with normalisation and softmax inside, in every form."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from form_params import HERE, logits
from test_form_files import net
from torch import nn

import binarize
from binarize.errors import ExportError
from binarize.exporting.forms import FORMS
from binarize.exporting.passes.embed_preprocess import EmbedPreprocess
from binarize.exporting.preprocessing import normalised, to_pixels
from binarize.models.attributes import set_attribute
from binarize.run import Preprocess
from binarize.runtime import metadata, open_session, uses_kernels

ODD = {"mean": [0.1, 0.5, 0.9], "std": [0.2, 0.4, 0.1]}


def odd_net(activations: str) -> nn.Module:
    model = net(activations).eval()
    info = model.binarize_info
    set_attribute(model, "binarize_info", info.replace(preprocess=info.preprocess.replace(**ODD)))
    return model


@pytest.mark.parametrize("form", HERE)
def test_pixels_in_probabilities_out(tmp_path, form: str) -> None:
    path = tmp_path / "model.onnx"
    model = odd_net("float" if form == "int8" else "sign")
    result = binarize.export(model, path, form=form, with_preprocess=True)
    assert result.with_preprocess
    assert metadata(path).with_preprocess
    assert result.probability_diff <= 1e-5
    (taken,) = onnx.load(path).graph.input
    (given,) = onnx.load(path).graph.output
    dims = [dim.dim_param or dim.dim_value for dim in taken.type.tensor_type.shape.dim]
    assert (taken.name, given.name) == ("pixels", "probabilities")
    assert taken.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert dims == ["batch", 4, 4, 3]
    pixels = torch.randint(
        0, 256, (5, 4, 4, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
    )
    mean, std = (torch.tensor(ODD[name]) for name in ("mean", "std"))
    with torch.inference_mode():
        wanted = model(((pixels / 255 - mean) / std).permute(0, 3, 1, 2)).softmax(1)
    off = 0.02 if result.parity == "quantised" else 1e-5
    assert torch.allclose(torch.from_numpy(logits(path, pixels)), wanted, atol=off)
    assert open_session(path, kernels=True).kernels is uses_kernels(path)
    if not FORMS[form].kernels:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (answer,) = session.run(None, {"pixels": pixels.numpy()})
        assert answer.sum(1) == pytest.approx(np.ones(5))
    faster = open_session(path, kernels=True).logits(pixels.numpy())
    assert torch.allclose(torch.from_numpy(faster), wanted, atol=off)


def test_without_it_a_file_says_nothing_of_it(tmp_path) -> None:
    """Files are as long as they were."""
    path = tmp_path / "model.onnx"
    assert not binarize.export(odd_net("float"), path).with_preprocess
    assert not metadata(path).with_preprocess
    assert not [one for one in onnx.load(path).metadata_props if "with" in one.key]


class Ended(nn.Module):
    """A network with another end, or another beginning."""

    def __init__(self, end: nn.Module, channels: int = 3) -> None:
        super().__init__()
        self.stem, self.inner, self.last = (
            nn.Conv2d(before, 4, 3, padding=1) for before in (channels, 4, 4)
        )
        self.end = end

    def forward(self, x):
        return self.end(self.last(torch.relu(self.inner(torch.relu(self.stem(x))))))


def flat(*end: nn.Module) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *end)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Ended(flat(nn.Sigmoid())), "a sigmoid for each class"),
        (Ended(flat(nn.Linear(4, 1))), "a single logit"),
        (Ended(nn.Identity()), "one row of logits an image"),
        (Ended(flat(), channels=1), "RGB images, and this network takes 1x8x8"),
    ],
)
def test_where_softmax_or_colours_make_no_sense(tmp_path, model, words) -> None:
    converted = binarize.convert(model.eval(), img_size=8)
    with pytest.raises(ExportError, match=words) as error:
        binarize.export(converted, tmp_path / "model.onnx", with_preprocess=True)
    assert "--with-preprocess" in error.value.hint
    assert not list(tmp_path.iterdir())


def test_a_file_that_says_something_else_is_refused(tmp_path, monkeypatch) -> None:
    """The second gate bites: with another mean inside, nothing is written."""
    other = {"mean": [0.0, 0.5, 0.9], "std": [0.2, 0.4, 0.1]}

    def embed(preprocess: Preprocess):
        return EmbedPreprocess(preprocess.replace(**other))

    monkeypatch.setattr("binarize.exporting.preprocessing.EmbedPreprocess", embed)
    with pytest.raises(ExportError, match="probabilities differ by"):
        binarize.export(odd_net("float"), tmp_path / "model.onnx", with_preprocess=True)
    assert not list(tmp_path.iterdir())


def test_pixels_are_the_nearest_ones() -> None:
    """Of images that were pixels they are those again."""
    preprocess = Preprocess(img_size=2, **ODD, interpolation="bilinear", crop_pct=1.0)
    pixels = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(1, 16, 16, 3)
    assert torch.equal(to_pixels(normalised(pixels, preprocess), preprocess), pixels)
    far = torch.tensor([-1e3, 1e3]).reshape(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert to_pixels(far, preprocess).flatten().tolist() == [0, 0, 0, 255, 255, 255]
