"""Pretrained weights: from the cache, without a network, and how long it takes to know."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import torch
from torchvision import models as torchvision_models

from binarize import models
from binarize.errors import ModelError
from binarize.models import pretrained

TIMM = "test_resnet"
TORCHVISION = "shufflenet_v2_x0_5"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of both libraries, and a host that does not answer."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "torch"))
    monkeypatch.setattr(pretrained, "answers", lambda host: False)
    return tmp_path


@pytest.mark.parametrize("name", [TIMM, f"torchvision/{TORCHVISION}"])
def test_without_a_network(name: str, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fetched = models.fetch(name, pretrained="auto")
    assert fetched.weights.startswith("random (")
    assert "not in the cache and cannot be downloaded" in fetched.weights
    with pytest.raises(ModelError, match="cannot be had") as caught:
        models.fetch(name, pretrained=True)
    assert "--checkpoint" in caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_a_model_that_has_none() -> None:
    assert models.fetch("cifar_resnet20").weights == "random (timm has none for cifar_resnet20)"
    with pytest.raises(ModelError, match="timm has none for cifar_resnet20"):
        models.create("cifar_resnet20", pretrained=True)


def test_torchvision_weights_from_its_cache(cache: Path) -> None:
    original = models.create(f"torchvision/{TORCHVISION}")
    url = torchvision_models.get_model_weights(TORCHVISION).DEFAULT.url
    file = cache / "torch" / "checkpoints" / url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    torch.save(original.state_dict(), file)
    fetched = models.fetch(f"torchvision/{TORCHVISION}", pretrained=True, num_classes=7)
    assert fetched.weights == f"pretrained (torchvision {TORCHVISION} IMAGENET1K_V1)"
    assert torch.equal(fetched.model.conv1[0].weight, original.conv1[0].weight)
    assert fetched.model.fc.weight.shape[0] == 7
    assert fetched.random == ("fc",)


def test_timm_weights_from_its_cache(cache: Path) -> None:
    original = models.create(TIMM)
    weights = pretrained.find("timm", TIMM)
    assert not weights.cached
    revision = "0" * 40
    root = cache / "hub" / f"models--timm--{weights.label.partition(' ')[2]}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(revision)
    (root / "snapshots" / revision).mkdir(parents=True)
    safetensors.torch.save_file(
        original.state_dict(), root / "snapshots" / revision / "model.safetensors"
    )
    fetched = models.fetch(TIMM, pretrained=True)
    assert fetched.weights == f"pretrained ({weights.label})"
    assert fetched.random == ()
    for key, value in original.state_dict().items():
        assert torch.equal(fetched.model.state_dict()[key], value), key
    assert models.fetch(TIMM, pretrained=True, num_classes=7).random == ("fc",)


def test_a_damaged_cache_is_said(cache: Path) -> None:
    url = torchvision_models.get_model_weights(TORCHVISION).DEFAULT.url
    file = cache / "torch" / "checkpoints" / url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    file.write_bytes(b"not weights")
    assert "could not be loaded" in models.fetch(f"torchvision/{TORCHVISION}").weights
    with pytest.raises(ModelError, match="could not be loaded"):
        models.fetch(f"torchvision/{TORCHVISION}", pretrained=True)


class _NotFound(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_error(404)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _NotFound) as listening:
        serving = threading.Thread(target=listening.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        serving.join()


def test_any_answer_counts(server: str) -> None:
    assert pretrained.answers(server)


def test_a_closed_port_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert not pretrained.answers(f"http://127.0.0.1:{port}")


def test_a_silent_host_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.perf_counter()
        assert not pretrained.answers(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.perf_counter() - start < 2
