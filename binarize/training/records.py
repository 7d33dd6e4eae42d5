"""What a training writes down: metrics.csv, indicators.csv, and TensorBoard's files where wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from binarize.recipe.schema import Recipe
from binarize.run import tables
from binarize.training.plan import Epoch
from binarize.training.tensorboard import TensorBoard
from binarize.training.training_state import TrainingState


class Records:
    """The records of the run in `directory`, for as long as a `with` block. Made from its `state`: what was
    written of epochs that the checkpoint knows nothing of is dropped, and what is damaged set aside, of which
    `say` is told. Only the first process writes.

    Attributes:
        rows: of metrics.csv so far, as text.
    """

    def __init__(
        self,
        directory: Path,
        recipe: Recipe,
        accelerator: Accelerator,
        state: TrainingState,
        plan: Sequence[Epoch],
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.directory = directory
        self._board: TensorBoard | None = None
        if accelerator.is_main_process:
            for table in (tables.METRICS, tables.INDICATORS):
                if damage := table.set_aside(directory):
                    say(damage)
                table.keep(directory, state.epochs)
            if recipe.engine.tensorboard:
                done = sum(epoch.steps for epoch in plan[: state.epochs])
                self._board = TensorBoard(directory, done)
        self.rows = tables.METRICS.read(directory)

    def add(self, row: dict[str, Any], layers: list[dict[str, Any]]) -> None:
        """The records of one epoch."""
        tables.METRICS.append(self.directory, [row])
        if layers:
            epoch = {tables.EPOCH: row[tables.EPOCH]}
            tables.INDICATORS.append(self.directory, [epoch | layer for layer in layers])
        if self._board is not None:
            self._board.add(row, layers)

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *_: object) -> None:
        if self._board is not None:
            self._board.close()
