"""Who stands in the rounds, and in the table: each float model, then the files of that architecture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from binarize.benching.baseline import FLOAT, float_entry, int8_entry, name_of
from binarize.benching.entries import Entry, File, entries_of
from binarize.errors import BinarizeError, ExportError
from binarize.models.arguments import RefusedArgument
from binarize.progress import Progress


def line_up(
    files: Sequence[File],
    folder: Path,
    *,
    kernels: bool,
    int8: bool,
    progress: Progress,
    notes: list[str],
) -> list[Entry]:
    """The entries of all files with a baseline each. What is built for that goes into `folder`.

    What a reader of the figures should know is added to `notes`. Raises ExportError for a file that cannot
    run here, or that brings arguments which no file may bring.
    """
    by_architecture: dict[str, list[File]] = {}
    for file in files:
        by_architecture.setdefault(file.architecture, []).append(file)
    lined_up: list[Entry] = []
    for group in by_architecture.values():
        entries = [entry for file in group for entry in entries_of(file, kernels)]
        entries = with_baseline(group[0], entries, folder, progress, notes)
        if int8:
            entries = with_int8(entries, folder, progress, notes)
        lined_up += entries
    return lined_up


def with_baseline(
    file: File, entries: list[Entry], folder: Path, progress: Progress, notes: list[str]
) -> list[Entry]:
    """One of `entries` is the baseline, or another comes first that is: a float file that was given, else
    the float model that can be built, else the first file, in stock onnxruntime where that runs it."""
    given = next((entry for entry in entries if entry.form == FLOAT), None)
    if given is None:
        progress.task("exporting the float model")
        try:
            built = float_entry(file, folder)
        except RefusedArgument as problem:
            raise ExportError(f'"{file.name}": {problem.message}', problem.hint) from problem
        except BinarizeError as problem:
            given = entries[0]
            notes.append(
                f"no float model for {file.name}: {problem.message}; ratios are to the file itself in "
                + (
                    "stock onnxruntime"
                    if not given.kernels
                    else "onnxruntime with the binarize kernels"
                )
            )
        else:
            notes.append(f"float: {name_of(file.info)}, built for this with random weights")
            return [built, *entries]
    baseline = replace(given, baseline=True)
    return [baseline, *(entry for entry in entries if entry is not given)]


def with_int8(
    entries: list[Entry], folder: Path, progress: Progress, notes: list[str]
) -> list[Entry]:
    """The float model in int8 comes second, where there is a float model."""
    first = entries[0]
    if first.form != FLOAT:
        notes.append(f"no int8 model for {first.file} without a float one")
        return entries
    progress.task("quantising the float model")
    return [first, int8_entry(first, folder), *entries[1:]]
