"""What binarizing one layer alone does to the answers of a float network."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from binarize.errors import ModelError
from binarize.fitting import norms
from binarize.fitting.fit import BATCH
from binarize.fitting.images import Pictures, batches
from binarize.layers import WeightBinarizer, added_modules, binarization_off, binary_weights
from binarize.layers.scale import SEVERAL
from binarize.models import logits_of
from binarize.packing import packed_bytes
from binarize.progress import Progress
from binarize.run import LayerSensitivity


@torch.no_grad()
def sensitivities(
    model: nn.Module,
    images: Pictures,
    progress: Progress | None = None,
    bases: Sequence[int] = (),
    batch_statistics: bool = False,
) -> list[LayerSensitivity]:
    """Every binary layer of a converted model with float weights, the most sensitive first. Nothing learns;
    the model ends as it was, in eval mode.

    A layer has its own number of bases, or one after the other those of `bases`, as far as its scale can
    have several. Batch norms keep the float network's statistics; with `batch_statistics` both networks use
    those of the batch, and what is left is what measuring norms again does not mend.

    Raises ModelError for a model that does not answer with one row of logits for an image, or no longer
    with numbers when one of its layers is binary.
    """
    progress = progress or Progress()
    trials = [
        (layer, some) for layer in binary_weights(model.eval()) for some in _tried(layer[3], bases)
    ]
    progress.task("one layer at a time", len(trials))
    statistics = norms.of_batches(model) if batch_statistics else contextlib.nullcontext()
    with statistics, binarization_off(model):
        wanted = _answers(model, images)
        if wanted.ndim != 2 or wanted.shape[1] < 2:
            raise ModelError(
                "the model does not answer with one row of logits for each image",
                "sensitivity is for networks that classify images",
            )
        found = []
        for number, ((name, module, parameter, binarizer), some) in enumerate(trials, 1):
            with _only(binarizer, some):
                answers = _answers(model, images)
            kl = _divergence(answers, wanted)
            if not math.isfinite(kl):
                raise ModelError(
                    f'with "{name}" binary the model answers with what is no number',
                    f"keep it float: --keep {name}",
                )
            params = module.get_parameter(parameter).numel()
            found.append(
                LayerSensitivity(
                    name=name,
                    bases=some,
                    kl=kl,
                    agreement=100 * (answers.argmax(1) == wanted.argmax(1)).double().mean().item(),
                    params=params,
                    bytes_float=4 * params,
                    bytes_1bit=packed_bytes(params * some),
                )
            )
            progress.update(number, name)
    assert all(added.enabled for added in added_modules(model))
    return sorted(found, key=lambda each: -each.kl)


def _tried(binarizer: WeightBinarizer, bases: Sequence[int]) -> Sequence[int]:
    """The numbers of bases that a layer is tried with."""
    if not bases:
        return (binarizer.bases,)
    return bases if binarizer.scale.name in SEVERAL else (1,)


@contextlib.contextmanager
def _only(binarizer: WeightBinarizer, bases: int) -> Iterator[None]:
    """This layer is binary in the block, with so many bases, and its input too where it has a binarizer."""
    own = binarizer.scale
    on = [binarizer, *([binarizer.inputs] if binarizer.inputs is not None else [])]
    try:
        binarizer.use_bases(bases)
        for added in on:
            added.enabled = True
        yield
    finally:
        binarizer.scale = own
        for added in on:
            added.enabled = False


def _answers(model: nn.Module, images: Pictures) -> Tensor:
    """Logits [images, classes] in float64."""
    like = next(p for p in model.parameters() if p.is_floating_point()).new_empty(0)
    return torch.cat(
        [logits_of(model(some.to(like))).double() for _, some in batches(images, BATCH)]
    )


def _divergence(found: Tensor, wanted: Tensor) -> float:
    log_found, log_wanted = found.log_softmax(1), wanted.log_softmax(1)
    return F.kl_div(log_found, log_wanted, reduction="batchmean", log_target=True).item()
