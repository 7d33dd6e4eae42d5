"""Models with several bases: options, what a run keeps of them, and what counts them."""

from __future__ import annotations

import json

import pytest
import torch

import binarize
from binarize import api
from binarize.errors import BinarizeError
from binarize.layers import binary_weights
from binarize.rewrite import Options, SourceOptions, build
from binarize.run import open_run

LAYERS = ({"match": "layer3", "bases": 3}, {"match": "layer3.0.conv2", "bases": 1})
UNTRAINED = SourceOptions(pretrained=False, kwargs={"blocks": 1})
IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, options in {"one": {}, "more": {"bases": 2, "layers": LAYERS}}.items():
        api.convert_to_run("cifar_resnet20", Options(**options), UNTRAINED, out=folder / name)
    return folder


def summary(run):
    return json.loads((run / "summary.json").read_text())


def test_each_layer_has_its_own_and_a_run_keeps_them(runs):
    model = binarize.load(runs / "more")
    bases = {name: binarizer.bases for name, _, _, binarizer in binary_weights(model)}
    wanted = {"layer1.0.conv1": 2, "layer3.0.conv1": 3, "layer3.0.conv2": 1}
    assert {name: bases[name] for name in wanted} == wanted
    layers = {row["name"]: row["bases"] for row in summary(runs / "more")["layers"]}
    assert layers == {**bases, "conv1": 1, "fc": 1}
    assert all(len(filter.unique()) == 4 for filter in model.layer1[0].conv1.weight)
    one, more = (build(runs / name).state_dict() for name in ("one", "more"))
    assert one.keys() == more.keys()
    assert all(torch.equal(one[key], more[key]) for key in one)


def test_parameters_and_macs_are_counted_once_for_each(runs):
    one, more = (summary(runs / name)["totals"] for name in ("one", "more"))
    rows = [row for row in summary(runs / "more")["layers"] if row["action"] == "binarized"]
    assert more["params_1bit"] == sum(row["params"] * row["bases"] for row in rows)
    assert more["macs_1bit"] == sum(row["macs"] * row["bases"] for row in rows)
    for same in ("params_32bit", "macs_32bit", "bytes_float"):
        assert one[same] == more[same]
    bits = more["params_1bit"] - one["params_1bit"]
    scales = sum((row["bases"] - 1) * row["shape"][0] for row in rows)
    assert more["bytes_packed"] - one["bytes_packed"] == pytest.approx(
        bits / 8 + 4 * scales, rel=0.02
    )


def test_a_run_of_before_there_were_several_has_one(runs, tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    for file in (runs / "one").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    data = json.loads((folder / "run.json").read_text())
    assert data["conversion"].pop("bases") == 1
    (folder / "run.json").write_text(json.dumps(data))
    assert open_run(folder).info.conversion.bases == 1
    assert torch.equal(binarize.load(folder)(IMAGE), binarize.load(runs / "one")(IMAGE))


def test_a_scale_that_cannot_have_them_is_refused_wherever_it_stands():
    for options in (
        {"bases": 2, "scale": "learned"},
        {"bases": 2, "layers": ({"match": "layer3", "scale": "none"},)},
        {"scale": "power-of-two", "layers": ({"match": "layer3", "bases": 3},)},
    ):
        with pytest.raises(BinarizeError, match=r'scale "[a-z-]*" cannot have [23] bases'):
            Options(**options)
    with pytest.raises(BinarizeError, match="a weight cannot have 5 bases"):
        binarize.convert("cifar_resnet20", bases=5)
