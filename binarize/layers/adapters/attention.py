"""nn.MultiheadAttention with binary inputs: its projections one by one.

torch's own forward hands all weights to one function, where nothing can come between an input and its
weight. With binary inputs the same attention is computed step by step:

    q, k, v = linear(x, in_proj)      heads      softmax(q·kᵀ/sqrt(d) + mask)·v      out_proj

Everything else, binary weights with float inputs included, goes through torch's forward.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from binarize.errors import ModelError
from binarize.layers.adapters.base import Adapter
from binarize.layers.product import BinaryWeight


class AttentionAdapter(Adapter[nn.MultiheadAttention]):
    """torch.nn.MultiheadAttention; `in_proj_weight` or, for inputs of several widths, three weights."""

    def methods(self, cls: type[nn.MultiheadAttention]) -> dict[str, Any]:
        def forward(
            module: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, **options: Any
        ) -> tuple[Tensor, Tensor | None]:
            if not any(isinstance(weight, BinaryWeight) for weight in _weights(module)):
                return cls.forward(module, query, key, value, **options)
            return _attend(module, query, key, value, **options)

        return {"forward": forward}


def _weights(module: nn.MultiheadAttention) -> list[Tensor | BinaryWeight | None]:
    separate = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
    return [module.in_proj_weight, module.out_proj.weight, *separate]


def _attend(
    module: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    if module.bias_k is not None or module.add_zero_attn:
        raise ModelError(
            "nn.MultiheadAttention with add_bias_kv or add_zero_attn cannot have binary inputs",
            "keep it float: --keep, with its name",
        )
    batched, turned = query.ndim == 3, query.ndim == 3 and not module.batch_first
    inputs = [query, key, value]
    if not batched:
        inputs = [x.unsqueeze(0) for x in inputs]
    if turned:
        inputs = (
            [query.transpose(0, 1)] * 3
            if query is key is value
            else [x.transpose(0, 1) for x in inputs]
        )
    q, k, v = (_heads(x, module.num_heads) for x in _project(module, inputs))
    mask = _mask(attn_mask, key_padding_mask, q, k)
    logits = q @ k.transpose(-2, -1) / math.sqrt(module.head_dim)
    attention = (logits if mask is None else logits + mask).softmax(-1)
    attention = F.dropout(attention, module.dropout, module.training)
    output = module.out_proj((attention @ v).transpose(1, 2).flatten(2))
    output = output.transpose(0, 1) if turned else output if batched else output[0]
    if not need_weights:
        return output, None
    attention = attention.mean(1) if average_attn_weights else attention
    return output, attention if batched else attention[0]


def _project(module: nn.MultiheadAttention, inputs: list[Tensor]) -> list[Tensor]:
    """Queries, keys and values [N, L, E]. A packed weight is applied whole, once for each other input."""
    bias = module.in_proj_bias
    if module.in_proj_weight is None:
        weights = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
        biases = bias.chunk(3) if bias is not None else [None] * 3
        return [F.linear(*args) for args in zip(inputs, weights, biases, strict=True)]
    done: dict[int, tuple[Tensor, ...]] = {}
    for x in inputs:
        if id(x) not in done:
            done[id(x)] = F.linear(x, module.in_proj_weight, bias).chunk(3, -1)
    return [done[id(x)][part] for part, x in enumerate(inputs)]


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _mask(
    attn_mask: Tensor | None, key_padding_mask: Tensor | None, q: Tensor, k: Tensor
) -> Tensor | None:
    """One mask to add to the logits [N, heads, L, S], from torch's two, boolean or not."""
    total = None
    if attn_mask is not None:
        shaped = attn_mask.unflatten(0, (len(q), -1)) if attn_mask.ndim == 3 else attn_mask
        total = _additive(shaped, q)
    if key_padding_mask is not None:
        padding = _additive(key_padding_mask.reshape(-1, 1, 1, k.shape[-2]), q)
        total = padding if total is None else total + padding
    return total


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -math.inf)
