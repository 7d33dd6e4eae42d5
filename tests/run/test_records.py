"""What run.json may say, field by field; what older ones said; and what is left of a conversion undone."""

from __future__ import annotations

from typing import Any

import pytest

from binarize.choices import MOST_BASES
from binarize.errors import BinarizeError
from binarize.run.conversion import ConversionRecord, EstimatorSpec, Stem
from binarize.run.edits import LARGEST_COUNT
from binarize.run.fit import AllocationRecord, FitRecord
from binarize.run.info import RunInfo, migrate
from binarize.run.model import LARGEST_SIZE, DataRecord, ModelSpec, Preprocess
from binarize.run.record import InvalidRecord, parse_json, printable

IMAGES = {
    "img_size": 224,
    "mean": [0.5],
    "std": [0.25],
    "interpolation": "bilinear",
    "crop_pct": 1.0,
}
CONVERSION = {"estimator": {"name": "ste"}, "scale": "channel", "standardise": True}
RUN = {
    "format": 2,
    "kind": "converted",
    "model": {"name": "resnet18", "library": "timm"},
    "weights": "random",
    "preprocess": IMAGES,
}
RELU = {
    "pass": "replace_relu",
    "form": "dropped",
    "inplace": False,
    "channels": 8,
    "axis": 1,
    "module": "relu",
    "block": None,
    "target": "relu",
    "ordinal": 0,
}
SHORTCUT = {
    "pass": "shortcut",
    "layer": "conv1",
    "block": {"module": "", "arguments": {"x": "tensor"}},
    "taken": ["x", 0, 0],
    "behind": ["conv1", 0],
    "stride": 1,
}


def images(**changes: Any) -> Preprocess:
    return Preprocess.from_data(IMAGES | changes)


def run(**changes: Any) -> RunInfo:
    return RunInfo.from_data(RUN | changes)


def conversion(**changes: Any) -> ConversionRecord:
    return ConversionRecord.from_data(CONVERSION | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"mean": [1e4], "std": [1e4]},
        {"mean": [-1e4]},
        {"img_size": 1},
        {"img_size": LARGEST_SIZE, "crop_pct": 0.5},
        {"img_size": LARGEST_SIZE, "crop_pct": 4.0},
        {"mean": [0.0] * 16, "std": [1e-4] * 16},
    ],
)
def test_images_at_the_limits(changes: dict[str, Any]) -> None:
    assert images(**changes).to_json() == IMAGES | changes


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"mean": [1e4 + 0.5]}, "mean.0"),
        ({"std": [-1e4 - 0.5]}, "std.0"),
        ({"mean": [0.0] * 17, "std": [1.0] * 17}, "mean"),
        ({"mean": [], "std": []}, "mean"),
        ({"mean": [0.5, 0.5], "std": [1.0, 9e-5]}, "std"),
        ({"mean": [0.5, 0.5]}, "a number for each channel"),
        ({"crop_pct": 0.0}, "crop_pct"),
        ({"crop_pct": 0.001}, "crop_pct"),
        ({"crop_pct": 4.5}, "crop_pct"),
        ({"img_size": LARGEST_SIZE, "crop_pct": 0.49}, "at most 8192 pixels"),
        ({"img_size": 0}, "img_size"),
        ({"img_size": "224"}, "img_size"),
        ({"interpolation": "cubic"}, "interpolation"),
    ],
)
def test_images_beyond_the_limits(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRecord, match=field):
        images(**changes)


@pytest.mark.parametrize("name", ["a/b", "https:", "c\\d", ".hidden", "", "x" * 201])
def test_a_model_is_called_by_a_name_and_never_by_a_place(name: str) -> None:
    with pytest.raises(InvalidRecord, match="name"):
        ModelSpec.from_data({"name": name, "library": "timm"})


@pytest.mark.parametrize("name", ["x", "vit_tiny.augreg", "x" * 200])
def test_a_name_is_from_1_to_200_letters(name: str) -> None:
    spec = ModelSpec.from_data({"name": name, "library": "timm"})
    assert spec.title == f"timm/{name}"


def test_a_directory_is_a_path() -> None:
    assert DataRecord.from_data({"dir": "data/cifar"}).dir == "data/cifar"
    assert DataRecord.from_data({"dir": "\u2400"}).dir == "\u2400"
    for path in ("a\0", "\0", ""):
        with pytest.raises(InvalidRecord, match="dir"):
            DataRecord.from_data({"dir": path})


def test_an_estimator_has_constants_that_are_numbers_or_words() -> None:
    given = {"name": "e", "a": 0.5, "b": True, "c": None, "d": "x", "n": 2}
    spec = EstimatorSpec.from_data(given)
    assert spec.constants == {key: value for key, value in given.items() if key != "name"}
    assert EstimatorSpec.of(given) == EstimatorSpec.of(spec) == spec
    assert EstimatorSpec.from_data("e") == EstimatorSpec.of("e") == EstimatorSpec.of({"name": "e"})
    assert str(EstimatorSpec.of({"name": "e", "a": 0.5})) == "e, a = 0.5"
    with pytest.raises(InvalidRecord, match="a: should be a number, a word, true, false or null"):
        EstimatorSpec.from_data({"name": "e", "a": [0.5]})
    with pytest.raises(InvalidRecord, match="name"):
        EstimatorSpec.from_data("")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"bases": MOST_BASES + 1}, "bases"),
        ({"bases": 0}, "bases"),
        ({"scale": "x" * 65}, "scale"),
        ({"layers": [{"match": ""}]}, "layers.0.match"),
        ({"layers": [{"match": "*", "bases": MOST_BASES + 1}]}, "layers.0.bases"),
        ({"edits": [RELU | {"channels": 0}]}, "edits.0.replace_relu.channels"),
        ({"edits": [RELU | {"channels": LARGEST_COUNT + 1}]}, "edits.0.replace_relu.channels"),
        ({"edits": [RELU | {"axis": -65}]}, "edits.0.replace_relu.axis"),
        ({"edits": [SHORTCUT | {"stride": 4097}]}, "edits.0.shortcut.stride"),
        ({"edits": [SHORTCUT | {"pass": "exec"}]}, "edits.0"),
        ({"submodule": "x" * 501}, "submodule"),
        ({"surplus": 1}, "surplus: is not a field that this version knows"),
    ],
)
def test_a_conversion_that_could_not_be_done_again(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRecord, match=field):
        conversion(**changes)


def test_a_conversion_at_the_limits() -> None:
    changes = {
        "bases": MOST_BASES,
        "scale": "x" * 64,
        "submodule": "x" * 500,
        "edits": [
            RELU | {"channels": 1, "axis": -64},
            RELU | {"channels": LARGEST_COUNT, "axis": 4096},
            SHORTCUT,
        ],
    }
    written = conversion(**changes).to_json()
    assert {key: written[key] for key in changes} == changes
    assert LARGEST_COUNT == 2**24


def test_a_record_is_read_only_and_made_of_what_it_may_hold() -> None:
    info = run()
    with pytest.raises(ValueError, match="frozen"):
        info.weights = "other"
    changed = info.replace(weights="others")
    assert (changed.weights, info.weights) == ("others", "random")
    assert changed.replace(weights="random") == info
    with pytest.raises(BinarizeError, match="img_size") as caught:
        info.preprocess.replace(img_size="64")  # no number behind the reader's back
    assert caught.value.hint


def test_numbers_that_json_does_not_have() -> None:
    for value in (float("nan"), float("inf"), object()):
        with pytest.raises(InvalidRecord, match="is not plain JSON"):
            ModelSpec.from_data({"name": "x", "library": "timm", "kwargs": {"a": value}})


def test_text_that_is_half_a_character() -> None:
    with pytest.raises(InvalidRecord, match="half a character"):
        parse_json('{"name": "\\ud800"}')
    assert parse_json('{"name": "\\ud83d\\ude00"}') == {"name": "😀"}


def test_what_is_wrong_is_one_printable_line() -> None:
    with pytest.raises(InvalidRecord) as caught:
        run(**{"\n\x1b" + "x" * 500: 1, "other": 2, "weights": 3})
    words = str(caught.value)
    assert words.isprintable()
    assert len(words) < 400
    assert words.endswith("(and 2 more)")
    assert (printable("x" * 160), len(printable("x" * 161))) == ("x" * 160, 160)


def test_only_a_mapping_of_a_known_format_is_read() -> None:
    for data in ([], None, "run"):
        with pytest.raises(InvalidRecord, match="a mapping of fields"):
            migrate(data)
    for number in (0, 3, True, "2", 2.0, None):
        with pytest.raises(InvalidRecord, match="this version reads 1 to 2"):
            migrate({"format": number})
    newest = {"format": 2, "model": {"name": "cifar_resnet20"}, "conversion": {"force": []}}
    assert migrate(newest) == newest


def test_format_1_said_force_and_padded_shortcuts_at_the_end() -> None:
    old = {"format": 1, "conversion": {"force": ["fc"], "keep": []}, "weights": "w"}
    model = {"name": "cifar_resnet20", "kwargs": {"depth": 20}}
    new = {"format": 2, "conversion": {"include": ["fc"], "keep": []}, "weights": "w"}
    padded = {"name": "cifar_resnet20", "kwargs": {"shortcut": "end", "depth": 20}}
    assert migrate(old | {"model": model}) == new | {"model": padded}
    other = {"name": "resnet18", "kwargs": {}}
    assert migrate(old | {"model": other}) == new | {"model": other}
    plain = {"model": other, "conversion": None, "format": 1}
    assert migrate(plain) == plain | {"format": 2}
    without = {"model": other, "conversion": {"keep": ["fc"]}, "format": 1}
    assert migrate(without) == without | {"format": 2}


def test_sizes_of_files_are_numbers_of_63_bits() -> None:
    def allocated(size: int) -> AllocationRecord:
        curve = [{"bytes": size, "agreement": 50.0}]
        return AllocationRecord.from_data({"bytes": size, "steps": 0, "curve": curve})

    for size in (0, (1 << 63) - 1):
        assert (allocated(size).bytes, allocated(size).curve[0].bytes) == (size, size)
    for size in (-1, 1 << 63):
        with pytest.raises(InvalidRecord, match=r"bytes: .*\(and 1 more\)"):
            allocated(size)


FIT = {"images": 512, "steps": 100, "seconds": 3.0, "error_before": 1.5, "error_after": 0.25}


def test_a_fit_is_told_in_sentences() -> None:
    fit = FitRecord.from_data(FIT)
    assert fit.lines() == ["fitted on 512 images in 100 steps, 3 s: error 1.5 -> 0.25"]
    measured = fit.replace(steps=0, agreement_before=10.0, agreement_after=62.5)
    assert measured.lines() == [
        "batch norms measured on 512 images, 3 s: error 1.5 -> 0.25",
        "same answer as the float model: 10.0 -> 62.5 % of images held aside",
    ]
    assert len(fit.replace(agreement_before=10.0).lines()) == 1
    assert len(fit.replace(agreement_after=10.0).lines()) == 1


def test_what_is_binary_in_a_run() -> None:
    names = {"parameters": ["conv1.weight"], "edits": [RELU]}
    assert not run().binary
    assert not run(conversion=CONVERSION).binary
    assert run(conversion=CONVERSION | names).binary
    assert not conversion().binary_inputs
    assert conversion(activations="step").binary_inputs


def test_of_a_conversion_undone_the_stem_is_left() -> None:
    names = {"parameters": ["conv1.weight"], "edits": [RELU]}
    stem = Stem(conv="conv1", pool=None)
    assert conversion(**names).undone() is None
    replaced = conversion(**names, replaced_stem={"conv": "conv1", "pool": None})
    assert replaced.undone() == conversion().replace(replaced_stem=stem)
    info = run(conversion=replaced.to_json(), fit=FIT)
    assert info.undone() == info.replace(conversion=replaced.undone(), fit=None)
    assert run(fit=FIT, created=1.0).undone() == run(created=1.0)


def test_a_fit_may_end_without_an_error_and_takes_no_time_back() -> None:
    perfect = FitRecord.from_data(FIT | {"error_before": 0.5, "error_after": 0.5, "seconds": 0.0})
    assert perfect.replace(error_after=0.0).error_after == 0.0
    assert perfect.replace(agreement_before=0.0).agreement_before == 0.0
    for field, value in (("seconds", -0.5), ("error_after", -0.5), ("images", 0), ("steps", -1)):
        with pytest.raises(InvalidRecord, match=field):
            FitRecord.from_data(FIT | {field: value})


def test_random_weights_are_called_so() -> None:
    assert run(weights="random, seed 0").has_random_weights is True
    assert run(weights="timm resnet18.a1_in1k").has_random_weights is False
