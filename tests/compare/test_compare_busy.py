from __future__ import annotations

import compare_sweeps as sweeps

from binarize.comparing import trial as trials
from binarize.comparing.sweep import Manifest, write_sweep
from binarize.comparing.trial import read_record, run_trial
from binarize.errors import RunBusyError


def test_a_trial_that_someone_resumes_by_hand_is_left_to_them(tmp_path, monkeypatch):
    def busy(*_args, **_more):
        raise RunBusyError("another process trains it")

    monkeypatch.setattr(trials, "train", busy)
    manifest = Manifest("tiny", sweeps.CONTENTS, [], None, ["ste"], 1)
    sweep = write_sweep(tmp_path / "sweep", manifest)
    assert run_trial(sweep, sweep.trials[0]) is None
    assert read_record(sweep, sweep.trials[0]) is None
