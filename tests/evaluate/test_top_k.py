"""Accuracy and parity against numpy, and in the corners."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from binarize.evaluation import ask, compare, top_k


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 6), st.integers(0, 2**16))
def test_top_k_is_numpys_with_ties_to_the_lower_class(images, classes, k, seed):
    rng = np.random.default_rng(seed)
    logits = rng.integers(0, 4, (images, classes)).astype(np.float32)  # few values: many ties
    labels = rng.integers(0, classes, images)
    best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    wanted = 100 * (best == labels[:, None]).any(1).mean()
    assert top_k(torch.from_numpy(logits), torch.from_numpy(labels), k) == pytest.approx(wanted)


def test_fewer_classes_than_five_make_top5_complete():
    assert top_k(torch.rand(4, 3), torch.tensor([0, 1, 2, 0]), 5) == 100.0


def test_an_answer_that_is_not_a_number_is_wrong():
    logits = torch.tensor([[float("nan"), 0.0], [float("nan"), float("nan")]])
    assert top_k(logits, torch.tensor([0, 0]), 1) == 0.0


def test_parity_of_the_same_answers_is_exact():
    logits = torch.randn(8, 10)
    parity = compare(logits, logits.clone())
    assert (parity.max_abs_diff, parity.top1_agreement) == (0.0, 100.0)
    assert parity.max_abs_logit == logits.abs().max().item()


def test_parity_finds_the_one_image_that_differs():
    first = torch.eye(4)
    other = first.clone()
    other[2] = torch.tensor([0.0, 0.0, 1.0, 3.0])
    parity = compare(first, other)
    assert (parity.max_abs_diff, parity.top1_agreement) == (3.0, 75.0)


def test_every_image_is_asked_once_and_in_order():
    images = torch.arange(10.0).reshape(10, 1, 1, 1).expand(10, 3, 2, 2)
    labels = torch.arange(10)
    batches = [(images[i : i + 4], labels[i : i + 4]) for i in range(0, 10, 4)]
    counts = []
    answers = ask(lambda batch: batch[:, 0, 0, :1], batches, counts.append)
    assert answers.logits[:, 0].tolist() == list(range(10))
    assert answers.labels.tolist() == list(range(10))
    assert counts == [4, 4, 2]
    assert answers.images_per_s > 0
