"""One training in a run at a time, of however many processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from binarize.errors import RunBusyError
from binarize.run import layout
from binarize.run.lock import held, holder


@contextlib.contextmanager
def alone_in(run: Path, accelerator: Accelerator) -> Iterator[None]:
    """No other training touches the run for as long as the block lasts; the first process holds its lock.

    Raises RunBusyError, in every process, where one is under way.
    """
    lock = run / layout.LOCK
    with contextlib.ExitStack() as stack:
        alone = [False]
        try:
            if accelerator.is_main_process:
                alone[0] = stack.enter_context(held(lock))
        finally:
            broadcast_object_list(alone)
        if not alone[0]:
            pid = holder(lock)
            raise RunBusyError(
                f'run "{run}" is being trained by another process' + (f" ({pid})" if pid else ""),
                f"wait for its end or stop it, and then: binarize train --resume {run}",
            )
        yield
