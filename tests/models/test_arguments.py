"""Arguments that a file brings: nothing is opened, fetched or imported that it names."""

from __future__ import annotations

import inspect
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import onnx
import pytest
import timm
import timm.models._builder as builder
import timm.models._factory as factory
import timm.models._hub as hub
import torch
import torchvision
import yaml
from onnx import TensorProto, helper
from safetensors.torch import save_file

import binarize
from binarize import models
from binarize.cli import app
from binarize.errors import BinarizeError, ModelError
from binarize.models.arguments import BUILDER_ARGUMENTS
from binarize.run import ModelSpec, RunInfo, write_info
from binarize.runtime import FileInfo

HARMLESS = BUILDER_ARGUMENTS | {"norm_layer"}
"""Besides those of the list: a class's own parameter, which has to be callable: never a JSON value."""
REACHING_OUT = {
    *("checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"),
    *("pretrained_strict", "pretrained_filter_fn", "pretrained_model_args", "model_cfg"),
    *("feature_cfg", "kwargs_filter", "features_only", "filter_fn", "load_fn", "strict"),
    *("scriptable", "exportable", "no_jit", "model_name", "model_cls", "variant"),
    *("weights", "weights_backbone", "progress", "quantize", "kwargs", "device", "dtype"),
}
"""The arguments of builders, by hand: that the signatures below are read at all is seen by these."""


def builders() -> list[Callable[..., object]]:
    """What makes a model of a name in timm and torchvision, and what they hand arguments on to."""
    timms = [
        *(timm.create_model, factory.create_model, builder.build_model_with_cfg),
        *(builder.load_pretrained, builder.load_custom_pretrained, builder.resolve_pretrained_cfg),
        *(hub.load_model_config_from_hf, hub.load_state_dict_from_hf),
        *(timm.models.load_checkpoint, timm.models.load_state_dict),
    ]
    names = torchvision.models.list_models()
    return timms + [torchvision.models.get_model_builder(name) for name in names]


BUILDERS = builders()
ARGUMENTS = sorted(
    {name for one in builders() for name in inspect.signature(one).parameters}.union(
        REACHING_OUT
    ).difference(HARMLESS)
)
VALUE = "http://127.0.0.1:9/evil.pth"


def test_the_signatures_have_what_reaches_out() -> None:
    found = {name for one in builders() for name in inspect.signature(one).parameters}
    assert {"checkpoint_path", "pretrained_cfg", "cache_dir", "weights", "progress"} <= found
    assert not REACHING_OUT & BUILDER_ARGUMENTS


@pytest.fixture(autouse=True)
def _closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever downloads or unpickles fails the test, also where its exception is caught on the way."""
    touched: list[str] = []

    def trap(holder: object, name: str) -> None:
        def refuse(*args: object, **_: object) -> None:
            touched.append(f"{name}{args}")
            raise AssertionError(f"{name} was called")

        monkeypatch.setattr(holder, name, refuse)

    trap(urllib.request, "urlopen")
    trap(huggingface_hub, "hf_hub_download")
    trap(hub, "hf_hub_download")
    trap(torch.hub, "load_state_dict_from_url")
    trap(torch.hub, "download_url_to_file")
    trap(builder, "load_state_dict_from_url")
    trap(torch, "load")
    yield
    assert touched == []


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_describe_and_create_refuse_it(argument: str) -> None:
    for name in ("resnet10t", "cifar_resnet20", "torchvision/resnet18"):
        with pytest.raises(ModelError, match=rf"model\.kwargs\.{argument} "):
            models.describe(name, **{argument: VALUE})
        library, bare = models.parse(name)
        spec = ModelSpec(name=bare, library=library, kwargs={argument: VALUE})
        with pytest.raises(ModelError, match=rf"model\.kwargs\.{argument} "):
            models.create(spec)


@pytest.mark.parametrize("argument", ["weights", "weights_backbone", "progress", "pretrained"])
def test_networks_with_a_backbone_refuse_it_too(argument: str) -> None:
    spec = ModelSpec(
        name="fasterrcnn_mobilenet_v3_large_320_fpn",
        library="torchvision",
        kwargs={argument: "DEFAULT"},
    )
    with pytest.raises(ModelError, match=rf"model\.kwargs\.{argument} "):
        models.create(spec)


@pytest.fixture(scope="module")
def info() -> RunInfo:
    """A float run of a small network, as run.json has it."""
    return RunInfo(
        kind="converted",
        model=models.describe("cifar_resnet20"),
        weights="random",
        preprocess=models.default_preprocess("cifar_resnet20"),
    )


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return models.create("cifar_resnet20").state_dict()


def _refused(capsys: pytest.CaptureFixture[str], argument: str, *command: str) -> None:
    assert app.main(list(command)) == 1
    said = capsys.readouterr()
    assert f"model.kwargs.{argument} " in " ".join((said.out + said.err).split())
    assert "unexpected" not in said.err


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_a_recipe_cannot_say_it(argument: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = {
        "model": {"name": "cifar_resnet20", "pretrained": False, "kwargs": {argument: VALUE}},
        "data": "digits",
        "binarize": {},
        "stages": [{"steps": 1, "optimizer": {"lr": 0.1}}],
    }
    Path("hostile.yaml").write_text(yaml.safe_dump(recipe))
    _refused(capsys, argument, "train", "--recipe", "hostile.yaml", "-o", "out")
    assert not Path("out").exists()


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_run_json_cannot_say_it(
    argument: str, info: RunInfo, state: dict[str, torch.Tensor], tmp_path: Path, capsys
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    save_file(state, run / "model.safetensors")
    spec = info.model.replace(kwargs={argument: VALUE})
    write_info(run, info.replace(model=spec))
    _refused(capsys, argument, "export", str(run), "--onnx", str(tmp_path / "out.onnx"))
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_a_files_metadata_cannot_say_it(
    argument: str, info: RunInfo, tmp_path: Path, monkeypatch, capsys
) -> None:
    """`bench` builds the float model that a file says it came from."""
    monkeypatch.chdir(tmp_path)
    described = FileInfo(
        model=info.model.replace(kwargs={argument: VALUE}),
        weights="random",
        preprocess=info.preprocess,
        form="packed",
        parity="exact",
    )
    path = _file(tmp_path / "hostile.onnx", described)
    assert json.loads(_properties(path)["binarize.model"])["kwargs"] == {argument: VALUE}
    command = ["bench", str(path), "--rounds", "1", "--no-kernels"]
    _refused(capsys, argument, *command)


def _file(path: Path, described: FileInfo) -> Path:
    """A network of one pooling under that description."""
    ends = [
        helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 32, 32]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10]),
    ]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [3, 10], [0.1] * 30)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    for key, value in described.to_properties().items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return path


def _properties(path: Path) -> dict[str, str]:
    return {one.key: one.value for one in onnx.load(path).metadata_props}


def test_arguments_are_told_in_short() -> None:
    with pytest.raises(ModelError, match="cannot build cifar_resnet20") as refusal:
        models.create("cifar_resnet20", channels=["narrow"] * 2000)
    assert len(refusal.value.message) < 1000


@pytest.mark.parametrize("img_size", [4097, 1 << 40])
def test_images_larger_than_a_run_can_hold_are_refused(img_size: int) -> None:
    with pytest.raises(BinarizeError, match="img_size: should be less than or equal to 4096"):
        binarize.convert("cifar_resnet20", img_size=img_size, pretrained=False)
    with pytest.raises(BinarizeError, match="img_size: should be less than or equal to 4096"):
        binarize.convert(torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3)), img_size=img_size)
