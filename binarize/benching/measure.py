"""The measurement: sessions side by side that take turns, in rounds of one run each.

Whatever else the machine does hits all of them alike. With more than one thread, onnxruntime's idle threads
would look for work for a while longer and so take the cores from the session whose turn it is: this spinning
is switched off (session.intra_op.allow_spinning), for all alike. A session alone on its machine may be a
little faster with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort

from binarize.benching.entries import Entry
from binarize.benching.result import Profile, Result
from binarize.benching.rounds import take_turns
from binarize.progress import Progress
from binarize.runtime.memory import noise, peak_bytes
from binarize.runtime.profile import profile
from binarize.runtime.session import answer, load

LOADS = 3
WARM_UPS = 3
CHECKED = 4
"""Images, at least, on which kernels are compared with stock onnxruntime."""


@dataclass(frozen=True)
class Setting:
    """How the sessions run: see `bench`."""

    threads: int
    batch: int
    rounds: int

    def load(self, entry: Entry) -> ort.InferenceSession:
        alone = self.threads == 1  # no second thread, nobody to spin
        return load(entry.path, self.threads, entry.kernels, spinning=alone)


def measure(entries: list[Entry], setting: Setting, progress: Progress) -> list[Result]:
    """The results of all entries, in their order."""
    sessions, loading = load_all(entries, setting, progress)
    times = run_all(entries, sessions, setting, progress)
    diffs = [max_diff(entry, entries, sessions, setting) for entry in entries]
    sessions.clear()  # what follows has the memory to itself
    peaks = []
    progress.task("memory", len(entries))
    for done, entry in enumerate(entries, start=1):
        peaks.append(peak_bytes(entry.path, setting.threads, setting.batch, entry.kernels))
        progress.update(done)
    return [
        Result(
            file=entry.file,
            form=entry.form,
            kernels=entry.kernels,
            threads=setting.threads,
            batch=setting.batch,
            **spread(times[index]),
            ratio_to_float=float(np.median(times[index] / times[_baseline(entry, entries)])),
            load_ms=float(np.median(loading[index])),
            peak_mb=_megabytes(peaks[index]),
            bytes=entry.path.stat().st_size,
            max_diff=diffs[index],
        )
        for index, entry in enumerate(entries)
    ]


def _megabytes(count: int | None) -> float | None:
    return None if count is None else count / 1e6


def load_all(
    entries: list[Entry], setting: Setting, progress: Progress
) -> tuple[list[Any], np.ndarray]:
    """A session of each entry, and the milliseconds [entries, LOADS] that it took to make them."""
    sessions: list[Any] = [None] * len(entries)

    def make(index: int) -> None:
        sessions[index] = setting.load(entries[index])

    def after_round(done: int) -> None:
        progress.update(done)
        if done < LOADS:  # they are made again, and letting go of them takes time too
            sessions[:] = [None] * len(entries)

    progress.task("loading", LOADS)
    calls = [lambda index=index: make(index) for index in range(len(entries))]
    return sessions, take_turns(calls, LOADS, after_round=after_round)


def run_all(
    entries: list[Entry], sessions: list[Any], setting: Setting, progress: Progress
) -> np.ndarray:
    """Milliseconds [sessions, rounds] of the runs. Raises ExportError for a file that cannot run."""
    feeds = [noise(session, setting.batch) for session in sessions]
    progress.task("warming up")
    for entry, session, feed in zip(entries, sessions, feeds, strict=True):
        answer(entry.path, session, feed)
    pairs = zip(sessions, feeds, strict=True)
    calls = [lambda session=session, feed=feed: session.run(None, feed) for session, feed in pairs]
    take_turns(calls, WARM_UPS)
    progress.task("rounds", setting.rounds)
    return take_turns(calls, setting.rounds, after_round=progress.update)


def max_diff(
    entry: Entry, entries: list[Entry], sessions: list[Any], setting: Setting
) -> float | None:
    """How far an entry with kernels is from stock onnxruntime of the same file; see `Result`."""
    stock = [one for one in entries if one.path == entry.path and not one.kernels]
    if not entry.kernels or not stock:
        return None
    ours, theirs = (sessions[entries.index(one)] for one in (entry, *stock))
    feed = noise(ours, max(setting.batch, CHECKED))
    wanted, got = (answer(entry.path, session, feed) for session in (theirs, ours))
    return float(np.abs(got - wanted).max() / max(np.abs(wanted).max(), np.finfo(np.float32).tiny))


def profile_all(entries: list[Entry], setting: Setting, progress: Progress) -> list[Profile]:
    """The nodes of the files that were given; not of what was built to be compared with."""
    given = [entry for entry in entries if entry.given]
    profiles = []
    progress.task("profiling", len(given))
    for done, entry in enumerate(given, start=1):
        nodes = profile(
            entry.path,
            setting.threads,
            setting.batch,
            entry.kernels,
            setting.rounds,
            spinning=setting.threads == 1,
        )
        profiles.append(Profile(entry.file, entry.form, entry.kernels, nodes))
        progress.update(done)
    return profiles


def spread(times: np.ndarray) -> dict[str, float]:
    """Median, 10th and 90th percentile, under the names that they have in a `Result`."""
    low, middle, high = np.percentile(times, (10, 50, 90))
    return {"median_ms": float(middle), "p10_ms": float(low), "p90_ms": float(high)}


def _baseline(entry: Entry, entries: list[Entry]) -> int:
    alike = (one for one in entries if one.baseline and one.architecture == entry.architecture)
    return entries.index(next(alike))
