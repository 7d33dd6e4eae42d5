"""What comes in with weights: values, types and versions."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import binarize
from binarize import api
from binarize.errors import BinarizeError, CheckpointError, ExportError, ModelError
from binarize.models import load_checkpoint
from binarize.rewrite import Options, SourceOptions
from binarize.run.weights import check_values


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)
        self.register_buffer("mask", torch.full((8, 8), -math.inf).triu(1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.bn(self.conv1(x)).relu())
        return self.head(x.mean((2, 3)))


def broken(name: str, value: float) -> Net:
    net = Net().eval()
    with torch.no_grad():
        net.state_dict()[name].view(-1)[-1] = value
    return net


BROKEN = [
    ("conv2.weight", math.nan),
    ("conv1.weight", -math.inf),
    ("head.bias", math.inf),
    ("bn.running_mean", math.inf),
    ("bn.running_mean", math.nan),
    ("bn.running_var", -0.5),
    ("bn.running_var", math.nan),
    ("mask", math.nan),
]


@pytest.mark.parametrize(("name", "value"), BROKEN)
def test_a_broken_tensor_is_named_wherever_it_comes_in(
    tmp_path: Path, name: str, value: float
) -> None:
    net = broken(name, value)
    with pytest.raises(ModelError, match=f'"{name}"'):
        binarize.convert(net, img_size=8)
    with pytest.raises(ExportError, match=f'"{name}"'):
        binarize.export(net, tmp_path / "x.onnx", input_size=8)
    for file in ("w.safetensors", "w.pth"):
        write = save_file if file.endswith("safetensors") else torch.save
        write(net.state_dict(), tmp_path / file)
        with pytest.raises(CheckpointError, match=f'"{name}" of .*{file}'):
            load_checkpoint(Net(), tmp_path / file)
    assert not (tmp_path / "x.onnx").exists()


def test_a_run_with_a_broken_tensor_is_not_exported(tmp_path: Path) -> None:
    source = SourceOptions(pretrained=False)
    saved = api.convert_to_run("cifar_resnet20", Options(), source, out=tmp_path / "run")
    state = binarize.load(saved.run).state_dict()
    state["layer1.0.conv1.weight"][0, 0, 0, 0] = math.nan
    save_file(state, saved.run / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"layer1\.0\.conv1\.weight.*NaN"):
        binarize.export(saved.run, tmp_path / "x.onnx")


def test_masks_may_be_infinite_and_a_variance_may_be_rounded() -> None:
    net = broken("bn.running_var", -1e-6)  # less than the epsilon that is added to it
    check_values(net, "the model")
    check_values(Net().half(), "the model")
    check_values(nn.LazyLinear(3), "the model")


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.uint8, torch.complex64])
def test_a_weight_that_is_no_floating_point_number_is_refused(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    state = Net().state_dict()
    state["conv2.weight"] = state["conv2.weight"].to(dtype)
    torch.save(state, tmp_path / "w.pth")
    kind = str(dtype).removeprefix("torch.")
    with pytest.raises(CheckpointError, match=f'"conv2.weight" as {kind}'):
        load_checkpoint(Net(), tmp_path / "w.pth")


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, on reading one
def test_a_sparse_weight_is_refused(tmp_path: Path) -> None:
    state = Net().state_dict()
    state["head.weight"] = state["head.weight"].to_sparse()
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="as a sparse_coo tensor"):
        load_checkpoint(Net(), tmp_path / "w.pth")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_numbers_load(tmp_path: Path, dtype: torch.dtype) -> None:
    net = Net()
    torch.save(copy.deepcopy(net).to(dtype).state_dict(), tmp_path / "w.pth")
    other = Net()
    load_checkpoint(other, tmp_path / "w.pth")
    assert torch.allclose(other.conv2.weight, net.conv2.weight, atol=1e-3)


class Versioned(Net):
    """As torchvision's MNASNet and Mask R-CNN do, this class asks which version a checkpoint is of."""

    _version = 3

    def _load_from_state_dict(self, state, prefix, local_metadata, *rest) -> None:
        if local_metadata.get("version") != 3:
            raise ValueError(f"version should be 3 instead of {local_metadata.get('version')}")
        super()._load_from_state_dict(state, prefix, local_metadata, *rest)


def test_a_class_that_asks_for_versions_loads(tmp_path: Path) -> None:
    net = Versioned()
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    other = Versioned()
    load_checkpoint(other, tmp_path / "w.safetensors")
    assert torch.equal(other.conv1.weight, net.conv1.weight)


def test_mnasnet_goes_through_a_run(tmp_path: Path) -> None:
    source = SourceOptions(pretrained=False, num_classes=10, img_size=64)
    name = "torchvision/mnasnet0_5"
    saved = api.convert_to_run(name, Options(), source, out=tmp_path / "run")
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(binarize.load(saved.run)(image), saved.conversion.model.eval()(image))
    again = binarize.convert(saved.run, estimator="ste")
    assert again.eval()(image).shape == (1, 10)


def test_every_refusal_has_a_hint(tmp_path: Path) -> None:
    with pytest.raises(BinarizeError) as refusal:
        binarize.convert(broken("head.weight", math.nan), img_size=8)
    assert refusal.value.hint


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_names_in_a_file_are_told_in_short(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"w.{suffix}"
    state = {**Net().state_dict(), "x" * 100_000: torch.zeros(1)}
    save_file(state, file) if suffix == "safetensors" else torch.save(state, file)
    with pytest.raises(CheckpointError, match="1 unknown") as refusal:
        load_checkpoint(Net(), file)
    assert len(refusal.value.message) < 400


def test_keys_that_are_no_names_are_refused(tmp_path: Path) -> None:
    torch.save({**Net().state_dict(), 1: torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        load_checkpoint(Net(), tmp_path / "w.pth")


def test_a_file_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(file: Path) -> None:
        raise MemoryError("Cannot allocate memory (os error 12)")

    monkeypatch.setattr("binarize.models.checkpoint_file.load_file", too_large)
    save_file(Net().state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r'w.safetensors" is corrupt'):
        load_checkpoint(Net(), tmp_path / "w.safetensors")
