"""`binarize convert --seed`: random weights are the same every time, and others with another seed."""

from __future__ import annotations

import torch
from safetensors.torch import load_file
from typed import run

NET = ["convert", "cifar_resnet20", "--no-pretrained"]


def weights(folder, name: str, *arguments: str) -> dict[str, torch.Tensor]:
    assert run(*NET, "-o", name, *arguments) == 0
    return load_file(folder / name / "model.safetensors")


def test_a_seed_fixes_random_weights(folder, capsys):
    torch.manual_seed(1)
    first, again = weights(folder, "a"), weights(folder, "b")
    other = weights(folder, "c", "--seed", "1")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])
    drawn = torch.rand(1)  # the caller's generator is where it was
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))
