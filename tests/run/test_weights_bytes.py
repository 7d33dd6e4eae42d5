from __future__ import annotations

import torch
from safetensors import safe_open

from binarize.run.weights import read_state, save_weights

STATE = {"a": torch.arange(6.0).reshape(2, 3), "ä.b": torch.ones(5, dtype=torch.int8)}
METADATA = {"top1": 91.25, "epoch": 3, "name": 'é "quoted" \\ \n\x1f\x7f', "a": "", "z": "😀"}


def test_equal_weights_and_metadata_give_equal_bytes(tmp_path):
    written = set()
    for number in range(12):  # safetensors draws an order of the metadata for every file
        save_weights(tmp_path / "w.safetensors", STATE, **METADATA)
        written.add((tmp_path / "w.safetensors").read_bytes())
        assert len(written) == 1, number


def test_the_file_is_still_one_of_safetensors(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, STATE, **METADATA)
    found = read_state(path)
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)
    with safe_open(path, "pt") as file:
        assert file.metadata() == {key: str(value) for key, value in METADATA.items()}
