"""Bit-packing: the layout by hand, and round trips at every awkward size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from binarize.packing import pack_bits, packed_bytes, unpack_activations, unpack_bits

SIZES = (1, 7, 8, 9, 31, 32, 33, 63, 64, 65)


def test_bit_one_is_plus_and_the_first_sign_is_the_lowest_bit():
    positive = np.zeros(19, dtype=bool)
    positive[[0, 9, 18]] = True
    assert pack_bits(positive).tolist() == [0b0000_0001, 0b0000_0010, 0b0000_0100]


def test_the_order_is_row_major():
    positive = np.array([[True, False, False], [False, False, True]])
    assert pack_bits(positive).tolist() == [0b0010_0001]
    assert pack_bits(np.asfortranarray(positive)).tolist() == [0b0010_0001]


@pytest.mark.parametrize("size", SIZES)
def test_bit_i_of_byte_i_over_eight(size):
    positive = np.random.default_rng(size).random(size) < 0.5
    bits = pack_bits(positive)
    assert bits.dtype == np.uint8
    assert bits.shape == (packed_bytes(size),) == (-(-size // 8),)
    for i, plus in enumerate(positive):
        assert (int(bits[i // 8]) >> (i % 8)) & 1 == plus


@pytest.mark.parametrize("size", SIZES)
def test_the_last_byte_is_filled_with_zeros(size):
    bits = pack_bits(np.ones(size, dtype=bool))
    total = sum(int(byte) << (8 * i) for i, byte in enumerate(bits))
    assert total == (1 << size) - 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fill", [True, False])
def test_constant_signs_come_back(size, fill):
    positive = np.full(size, fill)
    assert np.array_equal(unpack_bits(pack_bits(positive), (size,)), positive)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=9)))
def test_unpacking_undoes_packing(positive):
    bits = pack_bits(positive)
    assert bits.nbytes == packed_bytes(positive.size)
    back = unpack_bits(bits, positive.shape)
    assert back.dtype == np.bool_
    assert back.shape == positive.shape
    assert np.array_equal(back, positive)


@given(hnp.arrays(np.uint8, st.integers(0, 20)))
def test_packing_undoes_unpacking(bits):
    assert np.array_equal(pack_bits(unpack_bits(bits, (8 * len(bits),))), bits)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float32])
def test_only_booleans_are_packed(dtype):
    with pytest.raises(TypeError, match="takes booleans"):
        pack_bits(np.ones(8, dtype=dtype))


@pytest.mark.parametrize(
    ("bits", "shape"),
    [
        (np.zeros(1, np.uint8), (9,)),
        (np.zeros(2, np.uint8), (8,)),
        (np.zeros(1, np.int8), (8,)),
        (np.zeros((1, 1), np.uint8), (8,)),
    ],
    ids=["too short", "too long", "dtype", "2-d"],
)
def test_bits_that_do_not_fit_the_shape(bits, shape):
    with pytest.raises(ValueError, match="needs uint8"):
        unpack_bits(bits, shape)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("channels", [1, 31, 32, 33, 70])
def test_between_layers_channel_c_is_bit_c_of_its_words(channels, axis):
    positive = np.random.default_rng(channels).random((3, 4, channels)) < 0.5
    words = np.zeros((3, 4, -(-channels // 32)), np.uint32)
    for c in range(channels):
        words[..., c // 32] |= positive[..., c].astype(np.uint32) << np.uint32(c % 32)
    found = unpack_activations(np.moveaxis(words, -1, axis), channels, axis)
    assert found.dtype == np.bool_
    assert np.array_equal(found, np.moveaxis(positive, -1, axis))
