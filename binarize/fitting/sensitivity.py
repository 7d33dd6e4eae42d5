"""What binarizing one layer alone does to the answers of a float network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from binarize.errors import ModelError
from binarize.fitting.fit import BATCH
from binarize.fitting.images import Pictures, batches
from binarize.layers import added_modules, binarization_off, binary_weights
from binarize.models import logits_of
from binarize.packing import packed_bytes
from binarize.progress import Progress


@dataclass(frozen=True)
class LayerSensitivity:
    """One layer, with its weight binary (and its input, where the conversion makes that binary) and all else
    float.

    Attributes:
        name: of the layer.
        kl: mean over the images of sum p_f·log(p_f/p_b), in nats; p_f, p_b: the softmax of the float
            network's logits, and of those with this layer binary.
        agreement: per cent of the images on which both have the same first answer.
        params: weights of the layer.
        bytes_float, bytes_1bit: that they take.
    """

    name: str
    kl: float
    agreement: float
    params: int
    bytes_float: int
    bytes_1bit: int


@torch.no_grad()
def sensitivities(
    model: nn.Module, images: Pictures, progress: Progress | None = None
) -> list[LayerSensitivity]:
    """Every binary layer of a converted model with float weights, the most sensitive first. Nothing learns,
    and batch norms keep the float network's statistics; the model ends as it was, in eval mode.

    Raises ModelError for a model that does not answer with one row of logits for an image.
    """
    progress = progress or Progress()
    layers = list(binary_weights(model.eval()))
    progress.task("one layer at a time", len(layers))
    with binarization_off(model):
        wanted = _answers(model, images)
        if wanted.ndim != 2 or wanted.shape[1] < 2:
            raise ModelError(
                "the model does not answer with one row of logits for each image",
                "sensitivity is for networks that classify images",
            )
        found = []
        for number, (name, module, parameter, binarizer) in enumerate(layers, 1):
            on = [binarizer, *([binarizer.inputs] if binarizer.inputs is not None else [])]
            for added in on:
                added.enabled = True
            answers = _answers(model, images)
            for added in on:
                added.enabled = False
            params = module.get_parameter(parameter).numel()
            found.append(
                LayerSensitivity(
                    name,
                    _divergence(answers, wanted),
                    100 * (answers.argmax(1) == wanted.argmax(1)).double().mean().item(),
                    params,
                    4 * params,
                    packed_bytes(params * binarizer.bases),
                )
            )
            progress.update(number, name)
    assert all(added.enabled for added in added_modules(model))
    return sorted(found, key=lambda each: -each.kl)


def _answers(model: nn.Module, images: Pictures) -> Tensor:
    """Logits [images, classes] in float64."""
    like = next(p for p in model.parameters() if p.is_floating_point()).new_empty(0)
    return torch.cat(
        [logits_of(model(some.to(like))).double() for _, some in batches(images, BATCH)]
    )


def _divergence(found: Tensor, wanted: Tensor) -> float:
    log_found, log_wanted = found.log_softmax(1), wanted.log_softmax(1)
    return F.kl_div(log_found, log_wanted, reduction="batchmean", log_target=True).item()
