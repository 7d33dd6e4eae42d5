"""`python -m binarize.compare GRID CELL [DIR]`: one cell in a process of its own.

The exit code is 0 with a record, whatever it says, and where another process is at the cell. What stops
the whole grid is one line of JSON at the end of stderr, for the process that started this one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from binarize.compare.cell import run_cell
from binarize.compare.grid import open_grid
from binarize.errors import BinarizeError

INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    grid = open_grid(Path(arguments[0]))
    data_dir = Path(arguments[2]) if len(arguments) > 2 else None
    try:
        run_cell(grid, grid.cell(arguments[1]), data_dir)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (BinarizeError, OSError) as error:
        words = getattr(error, "message", str(error))
        print(json.dumps({"message": words, "hint": getattr(error, "hint", "")}), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
