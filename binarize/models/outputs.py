"""Which tensor the logits are, of whatever a network answers with.

1. A tensor is the logits.
2. Of a mapping, a dataclass or a named tuple: what is called "logits", if there is a tensor in it.
3. Else the first tensor, depth first: of a tuple or list in its order, of the others in that of their keys or
   fields. Nested parts follow the same rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from binarize.errors import ModelError

LOGITS = "logits"


def logits_of(output: Any) -> Tensor:
    """The logits in a network's output. Raises ModelError where there is no tensor in it."""
    if isinstance(output, Tensor):
        return output
    for tensor in tensors_in(output):
        return tensor
    raise ModelError(
        f"the model answers with {type(output).__name__} that holds no tensor",
        "have its forward return the logits, or a tuple, dict or dataclass with them",
    )


CERTAIN = 1e-4
"""How far the sum of probabilities may be from 1."""


def probabilities_of(logits: Tensor) -> Tensor:
    """float32[N, classes]: softmax of logits. Rows that are probabilities already, of a network that ends
    with a softmax, stay as they are."""
    sums = logits.sum(1)
    if (logits >= 0).all() and ((sums - 1).abs() <= CERTAIN).all():
        return logits
    return logits.softmax(1)


def why_no_softmax(logits: Tensor, end: str) -> str:
    """Why softmax makes no probabilities of these answers, "ends with a sigmoid …"; "" where it does.

    `end` is the operation that made them, in lower case: that of torch or of ONNX.
    """
    if end.startswith("sigmoid"):
        return "ends with a sigmoid for each class, and softmax is not for its answers"
    if logits.ndim != 2:
        return f"answers {len(logits)} images with {list(logits.shape)}, not with one row of logits an image"
    return "has a single logit, whose softmax is always 1" if logits.shape[1] == 1 else ""


def tensors_in(output: Any) -> Iterator[Tensor]:
    """All tensors of a network's output, the logits first."""
    if isinstance(output, Tensor):
        yield output
        return
    parts = _parts(output)
    if LOGITS in parts:
        parts = {LOGITS: parts[LOGITS], **parts}
    for part in parts.values():
        yield from tensors_in(part)


def _parts(output: Any) -> Mapping[Any, Any]:
    """Key, field or index -> value; empty for what is no container."""
    if isinstance(output, Mapping):
        return output
    if is_dataclass(output) and not isinstance(output, type):
        return {field.name: getattr(output, field.name) for field in fields(output)}
    if isinstance(output, (tuple, list)):
        names = getattr(output, "_fields", range(len(output)))
        return dict(zip(names, output, strict=True))
    return {}
