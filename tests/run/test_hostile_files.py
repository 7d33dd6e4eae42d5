"""A sample of what `benchmarks/hostile_files.py` does at length: no spoilt run or file gets further."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import hostile
import pytest

SEED = 1
MUTANTS = 30
REFUSED = (
    *("checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"),
    *("weights", "weights_backbone", "features_only", "device", "dtype"),
)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hostile.Judge]:
    folder = tmp_path_factory.mktemp("hostile")
    outside = folder / "outside" / "weights.pth"
    outside.parent.mkdir()
    outside.write_bytes(b"not for you")
    judge = hostile.Judge(folder, outside)
    with hostile.quick(judge.work):
        yield judge


@pytest.fixture(scope="module")
def base(judge: hostile.Judge) -> hostile.Base:
    run = judge.work / "trained"
    shutil.copytree(Path(__file__).parent / "v0.1.0" / "trained", run)
    return hostile.base_of(run)


def test_spoilt_runs_are_done_or_refused(judge: hostile.Judge, base: hostile.Base) -> None:
    spoilt = hostile.mutants(base.document, MUTANTS, SEED, judge.outside)

    verdicts = [v for each in spoilt for v in judge.run(base, each, ("summary", "eval"))]

    assert not [verdict for verdict in verdicts if not verdict.good]
    assert {verdict.verdict for verdict in verdicts} == {"done", "refused"}


def test_spoilt_files_are_done_or_refused(judge: hostile.Judge, base: hostile.Base) -> None:
    spoilt = hostile.mutants(base.described, MUTANTS, SEED, judge.outside)

    verdicts = [v for each in spoilt for v in judge.file(base, each, ("eval",))]

    assert not [verdict for verdict in verdicts if not verdict.good]
    assert {verdict.verdict for verdict in verdicts} == {"done", "refused"}


@pytest.mark.parametrize("argument", REFUSED)
def test_arguments_that_open_or_fetch_are_refused_by_name(
    argument: str, judge: hostile.Judge, base: hostile.Base
) -> None:
    value = hostile.extras(judge.outside)[argument]
    path = ("model", "kwargs", argument)
    run, file = (
        hostile.Mutant(argument, "", hostile.changed(document, path, value))
        for document in (base.document, base.described)
    )

    verdicts = [*judge.run(base, run, ("export",)), *judge.file(base, file, ("bench",))]

    for verdict in verdicts:
        assert verdict.verdict == "refused", verdict
        assert f"model.kwargs.{argument}" in verdict.words


@pytest.mark.parametrize(("name", "value"), [("channels", [65536] * 3), ("blocks", 60_000)])
def test_a_network_far_larger_than_its_weights_is_refused_before_it_is_made(
    name: str, value: object, judge: hostile.Judge, base: hostile.Base
) -> None:
    spoilt = hostile.changed(base.document, ("model", "kwargs", name), value)

    (verdict,) = judge.run(base, hostile.Mutant(name, "", spoilt), ("export",))

    assert verdict.verdict == "refused", verdict
