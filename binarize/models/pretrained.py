"""Where a library's pretrained weights lie, and whether they can be had without a long wait.

The libraries' own downloaders retry for most of a minute where there is no network. So the cache is
looked at first, then the host is asked once for an answer, and only then is a download begun.
"""

from __future__ import annotations

import functools
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub
import torch
from torch import Tensor, nn
from torchvision import models as torchvision_models

from binarize.models.names import pretrained_cfg

PATIENCE = 4.0  # seconds

# The library sets the epsilon of these networks' frozen norms to 0 when it loads their weights.
WITHOUT_EPSILON = (
    "fasterrcnn_resnet50_fpn",
    "keypointrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn",
    "retinanet_resnet50_fpn",
)


@dataclass(frozen=True)
class PretrainedWeights:
    """Pretrained weights of one name: what they are called, if they are cached, who serves them."""

    label: str
    cached: bool
    host: str

    def can_be_had(self) -> bool:
        return self.cached or answers(self.host)


def find(library: str, bare: str) -> PretrainedWeights | None:
    """The weights that `pretrained=True` would load, or None where the library has none."""
    return _timm_weights(bare) if library == "timm" else _torchvision_weights(bare)


def load_with_backbone(model: nn.Module, bare: str) -> None:
    """torchvision's weights into a detection or segmentation network that was built without any."""
    weights = torchvision_models.get_model_weights(bare).DEFAULT
    state = weights.get_state_dict(progress=False, check_hash=True)
    load_frozen_norms(model, state, 0.0 if bare in WITHOUT_EPSILON else None)


def load_frozen_norms(
    model: nn.Module, state: dict[str, Tensor], epsilon: float | None = None
) -> None:
    """Load the weights of a model with frozen batch norms into one whose batch norms train.

    The library builds detection networks with one or the other, depending on whether it has weights for
    them; a run has to build the same network without any. `epsilon` is that of the frozen norms where it
    differs; the variance takes the difference up: var + epsilon = (var + epsilon - eps) + eps.
    """
    model.load_state_dict(state)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    if epsilon is not None:
        for norm in norms:
            assert norm.running_var is not None
            norm.running_var += epsilon - norm.eps


def _timm_weights(bare: str) -> PretrainedWeights | None:
    cfg = pretrained_cfg(bare)
    if not cfg.has_weights:
        return None
    label = f"timm {cfg.architecture}.{cfg.tag}" if cfg.tag else f"timm {cfg.architecture}"
    if not cfg.hf_hub_id:
        url = cfg.url[0] if isinstance(cfg.url, tuple) else cfg.url or ""
        return PretrainedWeights(label, _in_torch_cache(url), _root(url))
    repository, _, revision = cfg.hf_hub_id.partition("@")
    names = [cfg.hf_hub_filename] if cfg.hf_hub_filename else ["model.safetensors"]
    found = (
        huggingface_hub.try_to_load_from_cache(repository, name, revision=revision or None)
        for name in names
    )
    cached = any(isinstance(path, str) for path in found)
    return PretrainedWeights(label, cached, huggingface_hub.constants.ENDPOINT)


def _torchvision_weights(bare: str) -> PretrainedWeights:
    weights = torchvision_models.get_model_weights(bare).DEFAULT
    label = f"torchvision {bare} {weights.name}"
    return PretrainedWeights(label, _in_torch_cache(weights.url), _root(weights.url))


def _in_torch_cache(url: str) -> bool:
    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name).is_file()


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@functools.cache
def answers(host: str) -> bool:
    """Whether `host` gives any HTTP answer within PATIENCE; asked once per process.

    A thread, because looking a name up knows no time limit of its own.
    """
    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(host, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=PATIENCE).close()
        except urllib.error.HTTPError:
            pass
        except (OSError, ValueError):
            return
        answered.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return answered.is_set()
