"""Two processes end with equal parameters, whatever stages, and their loss is that of one process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import two_processes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def came_out(tmp_path_factory):
    """(losses, state_dict) by case, number of processes and rank."""
    directory = tmp_path_factory.mktemp("two")
    script = Path(two_processes.__file__)
    ended = subprocess.run(
        [sys.executable, str(script), str(directory)],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return lambda *which: torch.load(
        directory / f"{'-'.join(map(str, which))}.pt", weights_only=True
    )


@pytest.mark.parametrize("case", two_processes.CASES)
def test_both_end_with_equal_parameters(came_out, case):
    (first_losses, first), (second_losses, second) = (came_out(case, 2, rank) for rank in (0, 1))
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []
    assert (first_losses - second_losses).abs().max() > 1e-4  # each saw images of its own


@pytest.mark.parametrize("case", two_processes.INPUTS)
def test_before_inputs_are_binary_their_loss_is_that_of_one_process(came_out, case):
    alone, first, second = (came_out(case, *which)[0][:3] for which in ((1, 0), (2, 0), (2, 1)))
    assert ((first + second) / 2 - alone).abs().max() < 1e-4


@pytest.mark.parametrize("case", two_processes.FOLLOWING)
def test_their_loss_is_that_of_one_process(came_out, case):
    alone, weights = came_out(case, 1, 0)
    (first, both), (second, _) = (came_out(case, 2, rank) for rank in (0, 1))
    assert len(first) == 3 * len(two_processes.FOLLOWING[case][0])
    assert ((first + second) / 2 - alone).abs().max() < 1e-4
    assert all((both[key] - weights[key]).abs().max() < 1e-3 for key in weights)
