"""Rows of the matrix of benchmarks/data_folders.py: each case is read with the right labels, or refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import data_folders


@pytest.mark.parametrize("name", data_folders.CASES)
def test_what_a_data_folder_is_read_as(name: str, tmp_path: Path) -> None:
    case = data_folders.CASES[name]
    assert data_folders.wrong(case, *data_folders.read(case, tmp_path)) == ""


def test_a_wrong_reading_is_seen(tmp_path: Path) -> None:
    case = data_folders.CASES["train, test"]
    found, error, said = data_folders.read(case, tmp_path)
    assert found is not None
    assert data_folders.wrong(case, {**found, "test": {"?": 9}}, error, said)
    assert data_folders.wrong(case, None, "refused", said)
    assert data_folders.wrong(data_folders.CASES["no image"], found, "", said)
