"""What a training writes down: metrics.csv, indicators.csv, and TensorBoard's files where wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from binarize.recipe.schema import Recipe
from binarize.train import indicators, metrics
from binarize.train.place import Place
from binarize.train.plan import Epoch
from binarize.train.tensorboard import TensorBoard


class Records:
    """The records of the run in `directory`, for as long as a `with` block. Made from its `place`: what was
    written of epochs that the checkpoint knows nothing of is dropped. Only the first process writes.

    Attributes:
        rows: of metrics.csv so far, as text.
    """

    def __init__(
        self,
        directory: Path,
        recipe: Recipe,
        accelerator: Accelerator,
        place: Place,
        plan: Sequence[Epoch],
    ) -> None:
        self.directory = directory
        self._metrics, self._indicators = directory / "metrics.csv", directory / "indicators.csv"
        self._board: TensorBoard | None = None
        if accelerator.is_main_process:
            metrics.keep_rows(self._metrics, place.epochs)
            indicators.keep_rows(self._indicators, place.epochs)
            if recipe.engine.tensorboard:
                done = sum(epoch.steps for epoch in plan[: place.epochs])
                self._board = TensorBoard(directory, done)
        self.rows = metrics.read_rows(self._metrics)

    def add(self, row: dict[str, Any], layers: list[dict[str, Any]]) -> None:
        """The records of one epoch."""
        metrics.add_row(self._metrics, row)
        if layers:
            indicators.add_rows(self._indicators, row["epoch"], layers)
        if self._board is not None:
            self._board.add(row, layers)

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *_: object) -> None:
        if self._board is not None:
            self._board.close()
