"""Bit-packing of signs. The one place that fixes the polarity and the order of the bits.

Bit 1 is +1 and bit 0 is -1. Signs are taken flat in row-major order (OIHW for a convolution, OI for a
linear layer); sign number `i` is bit `i % 8` of byte `i // 8`, least significant bit first. The last
byte is filled up with zeros. `docs/op-spec.md` repeats this for other readers of such files.

Between layers of the native form (`export.forms.native`), 32 channels of a pixel or row are a word: bit
`c % 32` of word `c // 32` is that of channel `c`.
"""

from __future__ import annotations

import numpy as np

WORD = 32
"""Channels in a word between layers."""


def packed_bytes(count: int) -> int:
    """Bytes that `count` signs take: ceil(count / 8)."""
    return -(-count // 8)


def pack_bits(positive: np.ndarray) -> np.ndarray:
    """Pack a boolean array of any shape (True = +1) into uint8[ceil(size / 8)]."""
    if positive.dtype != np.bool_:
        raise TypeError(f"pack_bits takes booleans (True = +1), not {positive.dtype}")
    return np.packbits(positive.reshape(-1), bitorder="little")


def unpack_bits(bits: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `pack_bits`: booleans of `shape` from uint8[ceil(size / 8)]."""
    count = int(np.prod(shape, dtype=np.int64))
    if bits.dtype != np.uint8 or bits.shape != (packed_bytes(count),):
        raise ValueError(
            f"shape {shape} needs uint8[{packed_bytes(count)}], not {bits.dtype}{list(bits.shape)}"
        )
    return np.unpackbits(bits, count=count, bitorder="little").astype(np.bool_).reshape(shape)


def unpack_activations(words: np.ndarray, channels: int, axis: int) -> np.ndarray:
    """Booleans with `channels` along `axis` from uint32 with ceil(channels / 32) words there."""
    last = np.ascontiguousarray(np.moveaxis(words, axis, -1), dtype="<u4")
    bits = np.unpackbits(last.view(np.uint8), axis=-1, count=channels, bitorder="little")
    return np.moveaxis(bits, -1, axis).astype(np.bool_)
