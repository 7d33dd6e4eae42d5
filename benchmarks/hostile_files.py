"""What do the commands make of runs and ONNX files that an enemy wrote?

    python benchmarks/hostile_files.py [--mutants 300] [--seed 0] [--only run|file] [--dry]

Mutants of what a trained run and one with ±1 inputs and edited blocks say about themselves, in run.json and
in the metadata of their ONNX file (tests/run/hostile.py); every command that reads it, in this process.
Prints how many were done, refused, or wrong, and every one that was wrong; adds a JSON line to
benchmarks/results/hostile_files.jsonl. Exits with 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from result_lines import append

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "run"))
import hostile


def judge_all(given: argparse.Namespace, folder: Path) -> list[hostile.Verdict]:
    """The verdicts on all mutants."""
    outside = folder / "outside" / "weights.pth"
    outside.parent.mkdir()
    outside.write_bytes(b"not for you")
    judge = hostile.Judge(folder, outside)
    verdicts: list[hostile.Verdict] = []
    with hostile.quick(judge.work):
        for base in hostile.bases(judge.work):
            of_run = hostile.mutants(base.document, given.mutants, given.seed, outside)
            of_file = hostile.mutants(base.described, given.mutants, given.seed, outside)
            jobs = [("run", judge.run, each, hostile.RUN_COMMANDS) for each in of_run]
            jobs += [("file", judge.file, each, hostile.FILE_COMMANDS) for each in of_file]
            for number, (kind, look, mutant, commands) in enumerate(jobs, 1):
                if given.only not in (None, kind):
                    continue
                for verdict in look(base, mutant, commands):
                    verdicts.append(verdict)
                    if not verdict.good:
                        show(verdict)
                print(f"\r{base.name} {number} of {len(jobs)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return verdicts


def show(verdict: hostile.Verdict) -> None:
    """One that is wrong, with the command's last words."""
    print(f"{verdict.kind}, {verdict.command}, {verdict.mutant}: {verdict.verdict[:300]}")
    print(
        "    "
        + verdict.words.strip()[-300:].replace("\n", "\n    ").encode("unicode_escape").decode(),
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=300, help="of each run and of each file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("run", "file"))
    parser.add_argument("--dry", action="store_true", help="print only, write no line")
    given = parser.parse_args()
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        verdicts = judge_all(given, Path(folder))
    counts: dict[str, Counter[str]] = {}
    for one in verdicts:
        what = one.verdict if one.good else "wrong"
        counts.setdefault(f"{one.kind}, {one.command}", Counter())[what] += 1
    print(f"{'':28}{'done':>8}{'refused':>8}{'wrong':>8}")
    for name, count in counts.items():
        print(f"{name:28}{count['done']:8}{count['refused']:8}{count['wrong']:8}")
    seconds = time.process_time() - began
    wrong = sum(not one.good for one in verdicts)
    print(f"{len(verdicts)} commands, {wrong} wrong, {seconds:.0f} CPU seconds")
    if not given.dry:
        append(
            "hostile_files",
            {
                "question": "hostile run.json and ONNX metadata: done, refused, anything worse",
                "mutants": given.mutants,
                "seed": given.seed,
                "only": given.only,
                "verdicts": counts,
                "wrong": wrong,
                "slowest_seconds": round(max(one.seconds for one in verdicts), 1),
                "cpu_seconds": round(seconds),
            },
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
