"""Bases and kept layers chosen for a size of file or an agreement, on a small network."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from fitting_toys import SIDE, images, network

import binarize
from binarize import mixed_precision
from binarize.converting import Calibration
from binarize.errors import BinarizeError
from binarize.exporting import packed_file_bytes, packed_size
from binarize.fitting.allocation import FLOAT
from binarize.layers import binarization_off, binary_weights
from binarize.mixed_precision import Goal, with_allocation
from binarize.rewrite import Options, capture


@pytest.fixture
def quick(monkeypatch):
    """Files are predicted, not exported, and the curve is short: for what does not depend on them."""

    def predicted(model):
        with binarization_off(model):
            trace = capture(model, (3, SIDE, SIDE))
        return packed_size(model, trace)

    monkeypatch.setattr(mixed_precision, "packed_file_bytes", predicted)
    monkeypatch.setattr(mixed_precision, "SIZES", 2)


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


def test_the_file_is_within_the_size(tmp_path):
    least = packed_file_bytes(binarize.convert(network(), img_size=SIDE, stem="keep"))
    limit = least + 500
    model = chosen(size=limit)
    assert any(binarizer.bases > 1 for *_, binarizer in binary_weights(model))
    found = binarize.export(model, tmp_path / "m.onnx").bytes
    allocation = model.binarize_info.fit.allocation
    assert least < found <= allocation.bytes <= limit
    assert (allocation.size, allocation.agreement) == (limit, None)
    assert allocation.curve[0].bytes == least
    bytes_of = [point.bytes for point in allocation.curve]
    assert bytes_of == sorted(set(bytes_of))


def test_the_smallest_file_is_one_base_everywhere(quick):
    with pytest.raises(BinarizeError, match="smallest file of this network takes") as caught:
        chosen(size=1)
    least = int(re.search(r"\(([\d,]+) bytes\)", caught.value.message)[1].replace(",", ""))
    model = chosen(size=least)
    assert (model.binarize_info.conversion.bases, model.binarize_info.conversion.layers) == (1, [])
    with pytest.raises(BinarizeError, match="smallest file of this network takes"):
        chosen(size=least - 1)


def test_a_file_that_comes_out_larger_makes_it_step_down(monkeypatch, quick):
    predicted = mixed_precision.packed_file_bytes

    def larger(model):
        several = sum(binarizer.bases > 1 for *_, binarizer in binary_weights(model))
        return predicted(model) + 300 * several

    monkeypatch.setattr(mixed_precision, "packed_file_bytes", larger)
    least = larger(binarize.convert(network(), img_size=SIDE, stem="keep"))
    for room, several in ((300, 0), (1100, 2), (1500, 2)):
        model = chosen(calib_steps=0, size=least + room)
        assert sum(binarizer.bases > 1 for *_, binarizer in binary_weights(model)) == several
        assert model.binarize_info.fit.allocation.bytes <= least + room


def test_what_is_large_enough_for_float_is_refused(quick):
    with pytest.raises(BinarizeError, match="nothing has to be binary"):
        chosen(size="1MB")


def test_the_fitted_network_agrees_often_enough(quick):
    model = chosen(agreement=85)
    fit = model.binarize_info.fit
    assert fit.agreement_after >= 85
    assert fit.allocation.agreement == 85


def test_from_too_seldom_it_goes_on_to_more_bytes(quick, monkeypatch):
    monkeypatch.setattr("binarize.fitting.allocation.limit_for", lambda curve, _: min(curve))
    fit = chosen(calib_steps=0, agreement=93).binarize_info.fit
    assert fit.allocation.curve[0].agreement < 93 <= fit.agreement_after
    assert fit.allocation.bytes > fit.allocation.curve[0].bytes


def test_an_agreement_out_of_reach_is_refused(quick, monkeypatch):
    fitted = mixed_precision._Search.fitted

    def worse(search, converted):
        done = fitted(search, converted)
        fit = done.info.fit.replace(agreement_after=90.0)
        return replace(done, info=done.info.replace(fit=fit))

    monkeypatch.setattr(mixed_precision._Search, "fitted", worse)
    with pytest.raises(BinarizeError, match=r"on 95 % .* held aside: the best did on 90\.0 %"):
        chosen(calib_steps=0, agreement=95)


def test_binary_inputs_and_scales_of_one_base(quick):
    options = {"img_size": SIDE, "stem": "keep", "scale": "learned", "activations": "step"}
    data = {"calib_data": [images(96)], "calib_images": 64, "calib_steps": 0}
    model = binarize.convert(network(), **options, **data, size=9300)
    record = model.binarize_info.conversion
    assert (record.bases, record.layers, len(record.keep)) == (1, [], 1)


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


def test_kept_layers_leave_nothing_to_choose():
    common = {"img_size": SIDE, "calib_data": [images(8)], "size": 7000}
    with pytest.raises(BinarizeError, match="no layer to choose for"):
        binarize.convert(network(), keep=["3", "6"], stem="keep", **common)


def test_a_goal_is_none_without_either():
    assert Goal.of(None, None) is None
    Calibration(goal=None).check(Options(bases=2))


def test_the_callers_model_stays_as_it_was(quick):
    model = network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    binarize.convert(
        model, img_size=SIDE, calib_data=[images(40)], calib_steps=0, agreement=1, stem="keep"
    )
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
