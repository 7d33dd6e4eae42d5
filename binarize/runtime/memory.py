"""How much memory a file takes to load and run: its peak, in a process that does nothing else.

    python -m binarize.runtime.memory FILE THREADS BATCH KERNELS

prints bytes: the highest resident size less what Python and onnxruntime had before the session was made.
A process of its own, because memory that was freed does not go back to the system as it came; and no torch in
it, which would take most of the time.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

from binarize.runtime.session import PIXELS, load

RUNS = 2
STATUS = Path("/proc/self/status")


def peak_bytes(path: Path, threads: int, batch: int, kernels: bool) -> int | None:
    """Peak bytes of the file in a new process; None where the system does not tell (not Linux), or the
    process came to no good end."""
    if not STATUS.is_file():
        return None
    words = [str(path), str(threads), str(batch), str(int(kernels))]
    line = [sys.executable, "-m", "binarize.runtime.memory", *words]
    done = subprocess.run(line, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) if done.returncode == 0 else None


def noise(runner: ort.InferenceSession, images: int) -> dict[str, np.ndarray]:
    """What a session is fed: `images` images of seeded noise, under its input's name: standard-normal, or any
    colours where it takes pixels as they are stored."""
    (taken,) = runner.get_inputs()
    generator, shape = np.random.default_rng(0), (images, *taken.shape[1:])
    if taken.type == PIXELS:
        return {taken.name: generator.integers(0, 256, shape, np.uint8)}
    return {taken.name: generator.standard_normal(shape, np.float32)}


def resident(which: str) -> int:
    """Bytes of this process now (RSS), or at most so far (HWM)."""
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"Vm{which}:"))


def main(path: str, threads: str, batch: str, kernels: str) -> None:
    before = resident("RSS")
    runner = load(Path(path), int(threads), bool(int(kernels)))
    feed = noise(runner, int(batch))
    for _ in range(RUNS):
        runner.run(None, feed)
    print(resident("HWM") - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
