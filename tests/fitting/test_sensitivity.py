"""One layer binary at a time: what it does to the answers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from fitting_toys import SIDE, images, network
from PIL import Image
from torch import nn

import binarize
from binarize.cli.app import main
from binarize.errors import DataError, ModelError
from binarize.fitting import sensitivities
from binarize.layers import added_modules
from binarize.models import fetch
from binarize.rewrite import Options, SourceOptions
from binarize.run.weights import save_weights


def found_of(model, **options):
    return binarize.sensitivity(
        model,
        calib_data=[images(24)],
        calib_images=24,
        options=Options(stem="keep", **options),
        model_options=SourceOptions(img_size=SIDE),
    )


def test_the_figures_are_those_of_a_network_with_one_binary_layer():
    parent, x = network(), images(24)
    converted = binarize.convert(parent, img_size=SIDE, stem="keep")
    found = sensitivities(converted, x.unbind())
    assert {each.name for each in found} == {"3", "6"}
    assert [each.kl for each in found] == sorted((each.kl for each in found), reverse=True)
    for each in found:
        one = network()
        other = binarize.convert(
            network(), img_size=SIDE, stem="keep", keep=list({"3", "6"} - {each.name})
        )
        with torch.no_grad():
            wanted, answers = (net.eval()(x).double().numpy() for net in (one, other))
        p, q = (np.exp(y) / np.exp(y).sum(1, keepdims=True) for y in (wanted, answers))
        assert each.kl == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=1e-4)
        same = (wanted.argmax(1) == answers.argmax(1)).mean()
        assert each.agreement == pytest.approx(100 * same)
        assert (each.params, each.bytes_float, each.bytes_1bit) == (576, 2304, 72)


def test_the_model_is_left_as_it_was():
    converted = binarize.convert(network(), img_size=SIDE, stem="keep", activations="step")
    before = converted.eval()(images(4))
    sensitivities(converted, images(4).unbind())
    assert all(module.enabled for module in added_modules(converted))
    assert torch.equal(converted(images(4)), before)


def test_a_layers_binary_input_counts_with_it():
    plain, both = found_of(network()), found_of(network(), activations="step")
    kl = [{each.name: each.kl for each in found.layers} for found in (plain, both)]
    assert all(kl[1][name] != kl[0][name] for name in ("3", "6"))


def test_what_does_not_classify_is_refused():
    body = network()[:9]
    with pytest.raises(ModelError, match="one row of logits"):
        sensitivities(binarize.convert(nn.Sequential(*body), img_size=SIDE, stem="keep"), images(2))


def test_images_that_are_not_there_are_refused_first():
    with pytest.raises(DataError, match="does not exist"):
        binarize.sensitivity("no-such-model", calib_data="nowhere")


def test_the_command_sorts_and_names_the_next_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = fetch("cifar_resnet20", pretrained=False, num_classes=10).model
    save_weights(tmp_path / "w.safetensors", model.state_dict())
    (tmp_path / "photos").mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    call = ["sensitivity", "cifar_resnet20", "--checkpoint", "w.safetensors", "--num-classes", "10"]
    assert main([*call, "--img-size", "8", "--calib-data", "photos", "--json"]) == 0
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert (content["images"], len(content["layers"])) == (4, 18)
    divergences = [layer["kl"] for layer in content["layers"]]
    assert divergences == sorted(divergences, reverse=True)
    worst = content["layers"][0]["name"]
    assert f"--keep {worst} --calib-data photos" in err
    assert err.index(worst) < err.index(content["layers"][-1]["name"])
