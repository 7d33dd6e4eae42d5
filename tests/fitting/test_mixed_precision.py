"""Bases and kept layers chosen for a size of file or an agreement, on a small network."""

from __future__ import annotations

import pytest
import torch
from fitting_toys import SIDE, images, network

import binarize
from binarize.api import Calibration
from binarize.errors import BinarizeError
from binarize.exporting import packed_file_bytes
from binarize.fitting.allocation import FLOAT
from binarize.mixed_precision import Goal, with_allocation
from binarize.rewrite import Options


def chosen(calib_steps=4, **goal):
    return binarize.convert(
        network(),
        img_size=SIDE,
        stem="keep",
        calib_data=[images(160)],
        calib_images=96,
        calib_steps=calib_steps,
        **goal,
    )


@pytest.fixture(scope="module")
def sizes():
    """Bytes of the packed file with 1 and with 2 bases everywhere."""
    return [
        packed_file_bytes(binarize.convert(network(), img_size=SIDE, stem="keep", bases=bases))
        for bases in (1, 2)
    ]


def test_the_file_is_within_the_size(sizes, tmp_path):
    limit = sizes[1] - 20
    model = chosen(size=limit)
    record = model.binarize_info.conversion
    assert record.bases == 1
    assert [choice.bases for choice in record.layers] in ([2], [3])
    found = binarize.export(model, tmp_path / "m.onnx").bytes
    assert sizes[0] < found <= limit
    allocation = model.binarize_info.fit.allocation
    assert found <= allocation.bytes <= limit
    assert (allocation.size, allocation.agreement) == (limit, None)
    assert allocation.curve[0].bytes == sizes[0]
    bytes_of = [point.bytes for point in allocation.curve]
    assert bytes_of == sorted(set(bytes_of))


def test_the_smallest_file_is_one_base_everywhere(sizes):
    model = chosen(size=sizes[0])
    assert (model.binarize_info.conversion.bases, model.binarize_info.conversion.layers) == (1, [])
    with pytest.raises(BinarizeError, match=f"smallest file of this network takes .*{sizes[0]:,}"):
        chosen(size=sizes[0] - 1)


def test_what_is_large_enough_for_float_is_refused():
    with pytest.raises(BinarizeError, match="nothing has to be binary"):
        chosen(size="1MB")


def test_the_fitted_network_agrees_often_enough():
    model = chosen(agreement=85)
    fit = model.binarize_info.fit
    assert fit.agreement_after >= 85
    assert fit.allocation.agreement == 85
    assert fit.allocation.bytes == packed_file_bytes(model)


def test_from_too_seldom_it_goes_on_to_more_bytes(monkeypatch):
    monkeypatch.setattr("binarize.fitting.allocation.limit_for", lambda curve, _: min(curve))
    model = chosen(calib_steps=0, agreement=93)
    assert model.binarize_info.fit.agreement_after >= 93
    assert (
        model.binarize_info.fit.allocation.bytes > model.binarize_info.fit.allocation.curve[0].bytes
    )


def test_an_agreement_out_of_reach_is_refused():
    with pytest.raises(BinarizeError, match="on 100 % of the images held aside: the best did on"):
        chosen(calib_steps=0, agreement=100)


def test_binary_inputs_and_scales_of_one_base(sizes, tmp_path):
    options = {"img_size": SIDE, "stem": "keep", "scale": "learned", "activations": "step"}
    data = {"calib_data": [images(96)], "calib_images": 64, "calib_steps": 0}
    model = binarize.convert(network(), **options, **data, size=sizes[0] + 2300)
    record = model.binarize_info.conversion
    assert (record.bases, record.layers, len(record.keep)) == (1, [], 1)
    assert binarize.export(model, tmp_path / "m.onnx").bytes <= sizes[0] + 2300


def test_choices_become_options():
    found = with_allocation(Options(keep=("x",)), {"a": 2, "b": 3, "c": FLOAT, "d": 2, "e[0]": 1})
    assert found.bases == 2
    assert found.keep == ("x", "c")
    assert [(choice.match, choice.bases) for choice in found.choices] == [("b", 3), ("e[[]0]", 1)]
    assert found.binarizer("e[0]").bases == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"bases": 2, "size": "1MB"},
            "--size chooses the bases of every layer, and so does --bases",
        ),
        ({"size": "1MB", "agreement": 90}, "two goals"),
        ({"size": "many"}, "is not the size of a file"),
        ({"agreement": 0}, "in per cent, not 0"),
        ({"agreement": 101}, "in per cent, not 101"),
        ({"agreement": float("nan")}, "in per cent, not nan"),
        (
            {"agreement": 90, "activations": "sign", "structure": "bireal"},
            "blocks of --structure bireal",
        ),
        ({"agreement": 90, "calib_data": None}, "compares networks on images, and there are none"),
    ],
)
def test_what_leaves_nothing_to_choose_is_refused(options, words):
    with pytest.raises(BinarizeError, match=words) as caught:
        binarize.convert(network(), img_size=SIDE, **{"calib_data": [images(8)], **options})
    assert caught.value.hint


def test_a_new_stem_and_kept_layers_leave_nothing_to_compare():
    common = {"img_size": SIDE, "calib_data": [images(8)], "size": 7000}
    with pytest.raises(BinarizeError, match="no layer to choose for"):
        binarize.convert(network(), keep=["3", "6"], stem="keep", **common)


def test_a_goal_is_none_without_either():
    assert Goal.of(None, None) is None
    Calibration(goal=None).check(Options(bases=2))


def test_the_callers_model_stays_as_it_was():
    model = network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    binarize.convert(
        model, img_size=SIDE, calib_data=[images(40)], calib_steps=0, agreement=1, stem="keep"
    )
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
