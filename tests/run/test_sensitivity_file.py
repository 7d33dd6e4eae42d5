"""sensitivity.json: what it may say, who comes first, and what is said where it is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from binarize.errors import RunError
from binarize.run import Run
from binarize.run.record import InvalidRecord
from binarize.run.sensitivity import Sensitivities

LAYER = {
    **{"name": "conv1", "bases": 1, "kl": 0.5, "agreement": 90.0},
    **{"params": 8, "bytes_float": 32, "bytes_1bit": 1},
}
MOST = (1 << 63) - 1


def record(**changes: Any) -> dict[str, Any]:
    return {"model": "resnet18", "images": 9, "layers": [LAYER | changes]}


@pytest.mark.parametrize("changes", [{"params": MOST}, {"params": 0}, {"name": "x" * 500}])
def test_layers_at_the_limits(changes: dict[str, Any]) -> None:
    read = Sensitivities.from_data(record(**changes))
    assert read.to_json() == record(**changes) | {"statistics": "float"}


@pytest.mark.parametrize(
    "changes",
    [{"params": MOST + 1}, {"params": -1}, {"name": "x" * 501}, {"bases": 0}, {"agreement": 101.0}],
)
def test_layers_beyond_the_limits(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRecord, match=rf"layers\.0\.{next(iter(changes))}"):
        Sensitivities.from_data(record(**changes))


def test_every_layer_counts_once_at_the_fewest_bases_the_most_sensitive_first() -> None:
    tried = [("a", 2, 0.1), ("b", 1, 0.4), ("a", 1, 0.3), ("c", 3, 0.9), ("b", 2, 0.2)]
    layers = [LAYER | {"name": name, "bases": bases, "kl": kl} for name, bases, kl in tried]
    ranked = Sensitivities.from_data(record() | {"layers": layers}).ranked()
    assert [(each.name, each.bases) for each in ranked] == [("c", 3), ("b", 1), ("a", 1)]


def test_a_run_has_it_where_somebody_measured(tmp_path: Path) -> None:
    run, file = Run(tmp_path), tmp_path / "sensitivity.json"
    assert run.sensitivity is None
    file.write_text(json.dumps(record()))
    assert run.sensitivity == Sensitivities.from_data(record())
    file.write_text(json.dumps(record(params=-1)))
    with pytest.raises(
        RunError, match=r'sensitivity.json" is damaged: layers\.0\.params'
    ) as caught:
        _ = run.sensitivity
    assert caught.value.hint == "remove it, or measure again: binarize sensitivity RUN"
