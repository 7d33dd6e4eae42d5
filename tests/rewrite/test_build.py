from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import binarize
from binarize import api
from binarize.errors import CheckpointError, ModelError, RunError
from binarize.layers import binary_weights
from binarize.rewrite import Options, SourceOptions, build, open_float
from binarize.run import open_run, write_info
from binarize.run.weights import load_weights, read_state

IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    source = SourceOptions(pretrained=False, kwargs={"blocks": 1})
    api.convert_to_run("cifar_resnet20", Options(), source, out=path)
    return path


def test_a_run_holds_what_its_docstring_says(run: Path) -> None:
    assert sorted(file.name for file in run.iterdir()) == [
        "env.json",
        "model.safetensors",
        "run.json",
        "summary.json",
    ]
    summary = json.loads((run / "summary.json").read_text())
    assert set(summary["totals"]) == {
        "params_1bit",
        "params_32bit",
        "macs_1bit",
        "macs_32bit",
        "bytes_float",
        "bytes_packed",
    }
    assert {"name", "kind", "shape", "source", "action", "reason"} <= set(summary["layers"][0])


def test_load_gives_the_same_module_in_eval_mode(run: Path) -> None:
    first, second = binarize.load(run), build(open_run(run))
    assert not first.training
    assert torch.equal(first(IMAGE), second(IMAGE))
    assert len(list(binary_weights(first))) == 6


def test_converting_a_run_again_starts_from_its_latent_weights(run: Path) -> None:
    latent = read_state(run / "model.safetensors")
    again = binarize.convert(run, estimator="ste", keep=["layer3"])
    assert all(torch.equal(value, latent[key]) for key, value in again.state_dict().items())
    assert len(list(binary_weights(again))) == 4
    assert {b.estimator.name for *_, b in binary_weights(again)} == {"ste"}


def test_a_replaced_stem_survives_saving_and_converting_again(tmp_path: Path) -> None:
    first = tmp_path / "first"
    api.convert_to_run(
        "resnet10t",
        Options(),
        SourceOptions(pretrained=False, img_size=32, num_classes=4),
        out=first,
    )
    api.convert_to_run(first, Options("ede"), out=tmp_path / "second")
    one, two = binarize.load(first), binarize.load(tmp_path / "second")
    assert torch.equal(one(IMAGE), two(IMAGE))


def test_a_checkpoint_of_the_float_model_loads(tmp_path: Path) -> None:
    model = open_float("cifar_resnet20", SourceOptions(pretrained=False)).model
    state = model.state_dict()
    save_file(state, tmp_path / "float.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "float.pth")
    for name in ("float.safetensors", "float.pth"):
        converted = binarize.convert("cifar_resnet20", checkpoint=tmp_path / name)
        assert all(torch.equal(value, state[key]) for key, value in converted.state_dict().items())


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_corrupt_or_truncated_checkpoint_is_refused(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    file = tmp_path / name
    if content is None:  # a good file that was cut off
        state = {"weight": torch.zeros(100)}
        save_file(state, file) if name.endswith("safetensors") else torch.save(state, file)
        content = file.read_bytes()[:-50]
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="corrupt, truncated") as error:
        read_state(file)
    assert error.value.hint


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError):
        read_state(tmp_path / "evil.pth")
    assert not (tmp_path / "touched").exists()


def test_a_checkpoint_of_another_model_says_what_differs(tmp_path: Path) -> None:
    save_file({"0.weight": torch.zeros(3, 3), "1.bias": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(
        CheckpointError, match=r"1 missing .0.bias., 1 unknown .1.bias., 1 of other shape"
    ):
        load_weights(nn.Sequential(nn.Linear(2, 2)), tmp_path / "x.safetensors")


def test_a_module_of_the_callers_own_converts_as_a_copy_but_cannot_be_rebuilt(
    tmp_path: Path,
) -> None:
    own = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Linear(4 * 900, 2)
    )
    converted = binarize.convert(own, img_size=32)
    assert not list(binary_weights(own))
    assert [name for name, *_ in binary_weights(converted)] == ["2"]
    save_file(converted.state_dict(), tmp_path / "model.safetensors")
    write_info(tmp_path, converted.binarize_info)
    with pytest.raises(RunError, match="caller's own code"):
        binarize.load(tmp_path)


def test_a_directory_that_is_no_run_is_not_taken_for_a_model_name(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run"):
        open_float(str(tmp_path))
    with pytest.raises(ModelError):
        open_float("resnet18x")


def test_the_classifier_is_reset_where_another_size_is_asked_for(run: Path) -> None:
    float_model = open_float(run, SourceOptions(num_classes=3))
    assert float_model.model(IMAGE).shape == (2, 3)
    assert float_model.info.model.kwargs["num_classes"] == 3


def test_a_failed_conversion_leaves_nothing_behind(tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(import_module("binarize.run.weights"), "save_file", full)
    with pytest.raises(OSError, match="No space"):
        api.convert_to_run(
            "cifar_resnet20", Options(), SourceOptions(pretrained=False), out=tmp_path / "run"
        )
    assert list(tmp_path.iterdir()) == []
