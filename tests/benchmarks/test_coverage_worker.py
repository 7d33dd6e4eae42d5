"""A model that fails, hangs, dies or takes too much memory costs a coverage run one line."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest
from coverage_jobs import coverage_worker


@pytest.fixture
def worker():
    command = [sys.executable, str(Path(__file__).with_name("coverage_jobs.py"))]
    with coverage_worker.Worker(command) as worker:
        yield worker


def test_a_worker_answers_job_after_job_whatever_is_printed(worker):
    first, second = (worker.ask({"do": "answer"}, 60) for _ in range(2))
    assert first == second


def test_an_error_is_the_answer(worker):
    assert worker.ask({"do": "raise"}, 60) == {"error": "ValueError", "reason": "first line"}


def test_after_a_death_another_process_answers(worker):
    first = worker.ask({"do": "answer"}, 60)
    died = worker.ask({"do": "die"}, 60)
    assert died == {"error": "Died", "reason": "the process ended with 3"}
    assert worker.ask({"do": "answer"}, 60) not in (first, died)


def test_a_job_that_takes_too_long_is_ended(worker):
    slow = worker.ask({"do": "sleep"}, 0.5)
    assert slow == {"error": "Timeout", "reason": "not done after 0.5 seconds"}
    assert "pid" in worker.ask({"do": "answer"}, 60)


def test_memory_ends_with_an_error_where_the_limit_is(worker):
    assert worker.ask({"do": "fill", "bytes": 1 << 20}, 60) == {"size": 1 << 20}
    too_much = worker.ask({"do": "fill", "bytes": (2 << 30) + 1}, 60)
    assert too_much["error"] == "MemoryError"
    assert "pid" in worker.ask({"do": "answer"}, 60)


def test_a_worker_is_replaced_after_an_error(worker):
    first = worker.ask({"do": "answer"}, 60)
    assert worker.ask({"do": "raise"}, 60)["error"] == "ValueError"
    assert worker.ask({"do": "answer"}, 60)["pid"] != first["pid"]


def test_a_reason_names_no_temporary_folder():
    place = Path(tempfile.gettempdir()) / "tmpabc" / "model.onnx"
    said = coverage_worker.failure("E", f'cannot read "{place}"\nmore')
    assert said == {"error": "E", "reason": 'cannot read "model.onnx"'}


def test_a_worker_is_replaced_after_its_share_of_jobs(worker, monkeypatch):
    monkeypatch.setattr(coverage_worker, "JOBS", 2)
    answers = [worker.ask({"do": "answer"}, 60)["pid"] for _ in range(4)]
    assert answers[0] == answers[1] != answers[2] == answers[3]
