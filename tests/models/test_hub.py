"""Models of a hub and of a folder: typed by the user, read like any other file, and never fetched again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import binarize
from binarize import api, models
from binarize.errors import BinarizeError, ModelError
from binarize.rewrite import Options, SourceOptions, open_float
from binarize.run import open_run

ARCHITECTURE = "test_vit"
LABELS = ["cat", "dog", "emu"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model as timm writes it, with three classes and a normalisation of its own."""
    model = timm.create_model(ARCHITECTURE, num_classes=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    model.pretrained_cfg = {**model.pretrained_cfg, "std": (0.2, 0.2, 0.2)}
    timm.models._hub.save_for_hf(
        model, tmp_path / "hub", {"label_names": LABELS}, safe_serialization=True
    )
    return tmp_path / "hub"


def changed(folder: Path, **changes: Any) -> str:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return f"local-dir:{folder}"


def test_a_run_keeps_all_of_it_but_the_place(folder: Path, tmp_path: Path) -> None:
    state = timm.create_model(f"local-dir:{folder}", pretrained=True).state_dict()
    name = f"local-dir:{folder}"
    saved = api.convert_to_run(name, Options(), SourceOptions(), out=tmp_path / "run")
    shutil.rmtree(folder)
    info = open_run(saved.run).info
    assert (info.model.title, info.classes) == (f"timm/{ARCHITECTURE}", LABELS)
    assert (info.preprocess.mean, info.preprocess.std) == ([0.5] * 3, [0.2] * 3)
    assert info.weights.startswith("pretrained (local-dir:")
    assert str(folder) not in json.dumps(info.to_json()["model"])
    loaded = binarize.load(saved.run).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


def test_a_hub_is_asked_by_timm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def config(place: str) -> Any:
        asked.append(place)
        return timm.models._hub.load_model_config_from_path(folder)

    state = timm.create_model(f"local-dir:{folder}", pretrained=True).state_dict()
    monkeypatch.setattr(models.hub.weights_of, "answers", lambda _: True)
    monkeypatch.setattr(timm.models, "load_model_config_from_hf", config)
    monkeypatch.setattr(timm.models, "load_state_dict_from_hf", lambda *_, **__: dict(state))
    opened = open_float("hf-hub:somebody/net", SourceOptions(num_classes=5))
    assert asked == ["somebody/net"]
    assert torch.equal(opened.model.state_dict()["norm.weight"], state["norm.weight"])
    assert (opened.info.random, opened.info.classes) == (["head"], [])
    assert opened.info.weights == "pretrained (hf-hub:somebody/net)"


def test_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(models.hub.huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(models.hub.weights_of, "answers", lambda _: False)
    with pytest.raises(ModelError, match="cannot be downloaded"):
        open_float("hf-hub:somebody/net")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "nothing_at_all"}, "there is no model"),
        ({"architecture": "../x"}, "there is no model"),
        ({"architecture": "hf-hub:a/b"}, "no name of timm"),
        ({"model_args": {"checkpoint_path": "x"}}, "is not an argument"),
        ({"model_args": {"pretrained_cfg_overlay": {"url": "x"}}}, "is not an argument"),
        ({"model_args": {"depth": 1}}, "does not fit the model"),
        ({"pretrained_cfg": 3}, "cannot be read"),
    ],
)
def test_what_its_config_may_not_say(changes: dict[str, Any], said: str, folder: Path) -> None:
    with pytest.raises(BinarizeError, match=said):
        open_float(changed(folder, **changes))


def test_a_folder_without_weights_or_config(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(BinarizeError, match="holds no weights"):
        open_float(f"local-dir:{folder}")
    opened = open_float(f"local-dir:{folder}", SourceOptions(pretrained=False))
    assert opened.info.has_random_weights
    with pytest.raises(ModelError, match="cannot be read"):
        open_float(f"local-dir:{folder}/nothing")


@pytest.mark.parametrize("name", ["hf-hub:timm/resnet18", "local-dir:x", "nets.py:make_net"])
def test_a_file_names_none_of_these(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no name of timm"):
        binarize.train("digits", name, out=tmp_path / "run")
    with pytest.raises(ModelError, match="no name of timm"):
        models.create(name)


@pytest.mark.parametrize(
    ("name", "meant"), [("resnt18", "resnet18"), ("bert_base_uncased", ""), ("my_network", "")]
)
def test_a_name_is_proposed_only_where_it_is_near(name: str, meant: str) -> None:
    with pytest.raises(ModelError) as refusal:
        models.parse(name)
    assert ("did you mean" in refusal.value.hint) == bool(meant)
    assert meant in refusal.value.hint
