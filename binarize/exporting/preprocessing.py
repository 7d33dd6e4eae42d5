"""`--with-preprocess`: a validated file gets normalisation and softmax inside, and is compared once more.

What the file answers to normalised images is checked by then (`validate`), whatever its form. With the
preprocessing inside, it has to answer to uint8 images as it did to them normalised outside: probabilities
within `TOLERANCE`. The arithmetic before the network is the same to the last bit, so no binary input flips
its sign.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx_ir as ir
import torch
from torch import Tensor

from binarize.errors import ExportError
from binarize.exporting.images import Images
from binarize.exporting.passes.embed_preprocess import EmbedPreprocess
from binarize.exporting.subject import Subject
from binarize.models import probabilities_of, why_no_softmax
from binarize.run import Preprocess
from binarize.runtime import open_session

TOLERANCE = 1e-5
"""Of a probability: what exp in another implementation may amount to."""
HINT = "omit --with-preprocess"


def check_subject(subject: Subject) -> None:
    """Raises ExportError for a network whose images have no colours that could be normalised."""
    channels = [subject.size[0], len(subject.info.preprocess.mean)]
    if len(subject.size) != 3 or channels != [3, 3]:
        shape = "x".join(map(str, subject.size))
        raise ExportError(f"preprocessing is of RGB images, and this network takes {shape}", HINT)


def to_pixels(images: Tensor, preprocess: Preprocess) -> Tensor:
    """uint8[N, H, W, 3] nearest to normalised float32[N, 3, H, W]."""
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (preprocess.mean, preprocess.std))
    pixels = (255 * (images * std + mean)).round().clamp(0, 255)
    return pixels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def normalised(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """float32[N, 3, H, W] of uint8[N, H, W, 3], as torchvision's ToTensor and Normalize compute it."""
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (preprocess.mean, preprocess.std))
    return (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std


def embed(
    path: Path,
    graph: ir.Model,
    write: Callable[[ir.Model, Path], None],
    preprocess: Preprocess,
    images: Images,
    kernels: bool,
) -> float:
    """Put preprocessing and softmax into `graph`, which is the file at `path`, and `write` it there again.

    Returns the largest difference of a probability from those of the file before. Raises ExportError for
    answers that no softmax makes probabilities, and where the difference is more than `TOLERANCE`.
    """
    pixels = to_pixels(images.pixels, preprocess)
    session = open_session(path, kernels=kernels)
    logits = torch.from_numpy(session.logits(normalised(pixels, preprocess).numpy()))
    _check_answers(graph, logits)
    EmbedPreprocess(preprocess)(graph)
    write(graph, path)
    given = torch.from_numpy(open_session(path, kernels=kernels).logits(pixels.numpy()))
    difference = (given - probabilities_of(logits)).abs().max().item()
    if not difference <= TOLERANCE:
        raise ExportError(
            f"with preprocessing inside, the file's probabilities differ by {difference:.1e}",
            "nothing was written; this is a defect of binarize: please report the model's name",
        )
    return difference


def _check_answers(graph: ir.Model, logits: Tensor) -> None:
    last = graph.graph.outputs[0].producer()
    why = why_no_softmax(logits, last.op_type.lower() if last is not None else "")
    if why:
        raise ExportError(f"this network {why}", HINT)
