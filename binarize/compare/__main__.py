"""`python -m binarize.compare GRID CELL [DIR]`: one cell in a process of its own.

The exit code is 0 with a record, whatever it says, and where another process is at the cell. What stops
the whole grid is one line of JSON at the end of stderr, for the process that started this one. Where
stdin is a pipe from that process, this one stops when it dies, however it dies.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import threading
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


def stop_with_parent() -> None:
    """Press Ctrl-C here when stdin, a pipe that nothing is ever written to, is closed at its other end."""

    def wait() -> None:
        os.read(0, 1)  # not sys.stdin: its lock would be held while the interpreter ends
        os.kill(os.getpid(), signal.SIGINT)

    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    stop_with_parent()
    sys.exit(main(sys.argv[1:]))
