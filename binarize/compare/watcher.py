"""What a comparison tells the outside. It never prints: it calls these."""

from __future__ import annotations

from binarize.compare.cell import Record
from binarize.compare.grid import Cell, Grid
from binarize.train import Reporter


class Watcher:
    """Takes the news and does nothing with it; a command line draws from a subclass."""

    def begins(self, grid: Grid, left: int, done: int) -> None:
        """The grid is on disk: `left` cells will be trained, `done` are finished already."""

    def warn(self, text: str, hint: str = "") -> None:
        """Something that will probably not give what is wanted."""

    def starts(self, cell: Cell, number: int, total: int) -> Reporter | None:
        """Cell `number` (from 1) of `total` starts; what is returned is told how it goes, if it is
        trained in this process."""
        return None

    def ends(self, cell: Cell, record: Record) -> None:
        """The cell has a record, and the table and files are up to date."""

    def busy(self, cell: Cell) -> None:
        """Another process is training this cell."""
