"""By what numbers were made: versions and machines of runs, from their env.json."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from binarize.environment import PACKAGES
from binarize.errors import RunError
from binarize.run import EnvironmentRecord, InvalidRecord, MachineRecord, Run, layout


def environment_of(run: Path) -> EnvironmentRecord:
    """env.json of a run; an empty one where it is missing or damaged."""
    try:
        return EnvironmentRecord.from_data(Run(run).read_json(layout.ENVIRONMENT))
    except (RunError, InvalidRecord):
        return EnvironmentRecord()


def versions(runs: Iterable[Path]) -> str:
    """`binarize 0.1.0, torch 2.15.0, …` of all runs; those that differ are listed each."""
    return "; ".join(dict.fromkeys(filter(None, (_versions(environment_of(run)) for run in runs))))


def machines(runs: Iterable[Path]) -> str:
    """`AMD EPYC, 2 cores, 1 thread`, of all runs."""
    found = (environment_of(run).machine for run in runs)
    return "; ".join(dict.fromkeys(_machine(machine) for machine in found if machine))


def _versions(environment: EnvironmentRecord) -> str:
    found = environment.versions
    return ", ".join(f"{name} {found[name]}" for name in ("python", *PACKAGES) if found.get(name))


def _machine(machine: MachineRecord) -> str:
    cores = "?" if machine.cores is None else machine.cores
    cpu = f"{machine.cpu}, {cores} cores"
    return f"{', '.join(machine.accelerators)}; {cpu}" if machine.accelerators else cpu
