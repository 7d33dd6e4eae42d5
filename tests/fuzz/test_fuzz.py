"""A short run of every fuzzer, of the same cases each time; `make fuzz` is the long one."""

from __future__ import annotations

from pathlib import Path

import fuzzers
import pytest

SEED = 1


@pytest.mark.parametrize("name", fuzzers.names())
def test_files_are_taken_or_refused(name: str, tmp_path: Path) -> None:
    found = list(fuzzers.outcomes(name, fuzzers.module(name).SHORT, SEED, tmp_path))

    assert not [(number, case.name, out) for number, case, out in found if not out.good]
    assert {out.kind for _, _, out in found} == {"fine", "refused"}
