"""How many instructions does a binary layer take on 64-bit Arm?

    python benchmarks/arm_instructions.py [--before COMMIT] [LAYER ...]

Counts those that qemu emulates for one run of a layer with the `neon` tier: two runs less one, so that what
prepares the layer does not count. They are instructions, not times: no Arm CPU was at hand. With `--before`
the kernels of that commit are counted beside those of the working tree. Printed: millions of instructions,
and products (multiply-adds of the layer) per instruction. Adds a JSON line to
benchmarks/results/arm_instructions.jsonl.

Needs `apt-get install g++ g++-aarch64-linux-gnu qemu-user`.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from result_lines import append

HERE = Path(__file__).parent
SOURCES = "binarize/kernels/src"
OTHERS = ("ops", "stem_op", "amx", "tier_amx", "tier_avx")  # what their names begin with
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=off", "-DBINARIZE_ARM64", "-static")
LAYERS = {
    # name: outputs, channels, kernel, size of the image or minus the rows of a linear layer
    "3x3 64x56x56": (64, 64, 3, 56),
    "3x3 128x28x28": (128, 128, 3, 28),
    "3x3 512x7x7": (512, 512, 3, 7),
    "1x1 256x56x56 to 64": (64, 256, 1, 56),
    "linear 768 to 768, 197 rows": (768, 768, 1, -197),
    "linear 768 to 3072, 1 row": (3072, 768, 1, -1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("layers", nargs="*", default=list(LAYERS), metavar="LAYER")
    parser.add_argument("--before", metavar="COMMIT")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plugin = folder / "count.so"
        source = HERE / "arm_instructions_plugin.c"
        run("gcc", "-shared", "-fPIC", "-O2", "-o", plugin, source)
        programs = {"now": program(HERE.parent / SOURCES, folder / "now")}
        if given.before:
            archive = ["git", "archive", given.before, SOURCES]
            files = subprocess.run(archive, cwd=HERE.parent, check=True, capture_output=True).stdout
            subprocess.run(["tar", "-x", "-C", folder], input=files, check=True)
            programs["before"] = program(folder / SOURCES, folder / "before-it")
        found = {}
        for layer in given.layers:
            outputs, channels, kernel, size = LAYERS[layer]
            products = outputs * channels * kernel**2 * (-size if size < 0 else size**2)
            for inputs in ("float", "step"):
                for when, built in programs.items():
                    once, twice = (
                        instructions(plugin, built, inputs, *LAYERS[layer], rounds)
                        for rounds in (1, 2)
                    )
                    count = twice - once
                    found.setdefault(layer, {}).setdefault(inputs, {})[when] = count
                    each = f"{count / 1e6:9.2f} million, {products / count:6.2f} products each"
                    print(f"{layer:30} {inputs:6} {when:7} {each}", flush=True)
    line = {"question": "instructions of a layer, emulated", "before": given.before}
    append("arm_instructions", {**line, "tier": "neon", "layers": found})


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def program(sources: Path, to: Path) -> Path:
    files = [file for file in sorted(sources.glob("*.cc")) if not file.name.startswith(OTHERS)]
    main = HERE / "arm_instructions.cc"
    run("aarch64-linux-gnu-g++", *FLAGS, "-I", sources, "-o", to, main, *files)
    return to


def instructions(plugin: Path, built: Path, *arguments: object) -> int:
    printed = run("qemu-aarch64", "-plugin", plugin, built, *map(str, arguments))
    return int(printed.split()[-2])


if __name__ == "__main__":
    main()
