"""By what numbers were made: versions and machines of runs, from their env.json."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from binarize.environment import PACKAGES
from binarize.errors import RunError
from binarize.run import Run, layout


def environment_of(run: Path) -> dict[str, Any]:
    """env.json of a run; empty where it is missing or damaged."""
    try:
        stored = Run(run).read_json(layout.ENVIRONMENT)
    except RunError:
        return {}
    return stored if isinstance(stored, dict) else {}


def versions(runs: Iterable[Path]) -> str:
    """`binarize 0.1.0, torch 2.15.0, …` of all runs; those that differ are listed each."""
    return "; ".join(dict.fromkeys(filter(None, (_versions(environment_of(run)) for run in runs))))


def machines(runs: Iterable[Path]) -> str:
    """`AMD EPYC, 2 cores, 1 thread`, of all runs."""
    return "; ".join(dict.fromkeys(filter(None, (_machine(environment_of(run)) for run in runs))))


def _versions(environment: dict[str, Any]) -> str:
    found = environment.get("versions", {})
    return ", ".join(f"{name} {found[name]}" for name in ("python", *PACKAGES) if found.get(name))


def _machine(environment: dict[str, Any]) -> str:
    machine = environment.get("machine", {})
    if not machine:
        return ""
    accelerators = ", ".join(machine.get("accelerators") or ())
    cpu = f"{machine.get('cpu', 'CPU')}, {machine.get('cores', '?')} cores"
    return f"{accelerators}; {cpu}" if accelerators else cpu
