"""`python -m binarize.comparing SWEEP TRIAL [DIR]`: one trial in a process of its own.

The exit code is 0 with a record, whatever it says, and where another process is running the trial. What stops
the whole sweep is one line of JSON at the end of stderr, for the process that started this one. Where
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

from binarize import interrupt
from binarize.comparing.sweep import open_sweep
from binarize.comparing.trial import run_trial
from binarize.errors import BinarizeError


def main(arguments: list[str]) -> int:
    sweep = open_sweep(Path(arguments[0]))
    data_dir = Path(arguments[2]) if len(arguments) > 2 else None
    try:
        with interrupt.handled():
            run_trial(sweep, sweep.trial(arguments[1]), data_dir)
    except KeyboardInterrupt:
        return interrupt.outcome()[1]
    except (BinarizeError, OSError) as error:
        words = getattr(error, "message", str(error))
        print(json.dumps({"message": words, "hint": getattr(error, "hint", "")}), file=sys.stderr)
        return 1
    return 0


def stop_with_parent() -> None:
    """End as by `kill` when stdin, a pipe that nothing is ever written to, is closed at its other end: what a
    script runs in the background ignores Ctrl-C."""

    def wait() -> None:
        os.read(0, 1)  # not sys.stdin: its lock would be held while the interpreter ends
        os.kill(os.getpid(), signal.SIGTERM)

    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    stop_with_parent()
    sys.exit(main(sys.argv[1:]))
