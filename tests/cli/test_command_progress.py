"""How far a command is: a bar on a terminal, lines that come seldom elsewhere, nothing for short work."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from binarize.cli import render
from binarize.cli.progress import EVERY, FIRST, Lines, Shown, duration, working


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _first_process_without_json(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    render.use_json(False)
    yield
    render.use_json(False)


def lines(clock: Clock) -> tuple[list[str], Lines]:
    written: list[str] = []
    return written, Lines(written.append, clock)


def test_short_work_writes_nothing(clock):
    written, view = lines(clock)
    view.task("exporting", None, 0)
    clock.now = FIRST - 0.1
    view.task("rounds", 10, 0)
    view.update(10, "done")
    assert written == []


def test_long_work_says_what_how_much_and_how_long_it_takes(clock):
    written, view = lines(clock)
    clock.now = 2
    view.task("float baseline", 24_000, 0)
    clock.now = 12
    view.update(2_400, "epoch 2/20, loss 1.372")
    assert written == [
        "float baseline: 2,400 of 24,000 (10 %), 2 min left, epoch 2/20, loss 1.372"
    ]  # 10 seconds for a tenth leave 90


def test_what_was_done_before_does_not_count_as_fast(clock):
    written, view = lines(clock)
    view.task("binarized", 100, 60)
    clock.now = 20
    view.update(80, "")
    assert written == ["binarized: 80 of 100 (80 %), 20 s left"]


def test_lines_come_seldom(clock):
    written, view = lines(clock)
    view.task("rounds", 1000, 0)
    for second in range(200):
        clock.now = second
        view.update(second, "")
    times = [int(line.split()[1]) for line in written]
    assert times == [FIRST + n * EVERY for n in range(7)]


def test_a_task_that_begins_late_is_named_even_without_a_total(clock):
    written, view = lines(clock)
    clock.now = 15
    view.task("validating", None, 0)
    view.task("rounds", 3, 0)
    assert written == ["validating …"]
    clock.now = 50
    view.task("rounds", 3, 0)
    assert written[1:] == ["rounds: 0 of 3 (0 %)"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59, "59 s"), (90, "2 min"), (3590, "1 h 0 min"), (12_000, "3 h 20 min")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize("as_json", [False, True])
def test_where_stderr_is_no_terminal_lines_go_there(capsys, monkeypatch, clock, as_json):
    monkeypatch.setattr(Lines.__init__, "__defaults__", (clock,))
    render.use_json(as_json)
    with working("loading") as progress:
        progress.task("rounds", 4)
        clock.now = FIRST
        progress.update(1)
    assert capsys.readouterr() == ("", "rounds: 1 of 4 (25 %), 30 s left\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def put_terminal(monkeypatch) -> Terminal:
    """A terminal as stderr. Called by tests themselves: pytest puts its own there after the fixtures."""
    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_on_a_terminal_it_is_a_bar(monkeypatch):
    terminal = put_terminal(monkeypatch)
    with working("loading") as progress:
        progress.task("rounds", 4)
        progress.update(1, "loss 0.5")
    shown = terminal.getvalue()
    assert "rounds" in shown
    assert "25%" in shown
    assert "loss 0.5" in shown


def test_a_bar_of_unknown_length_forgets_the_length_of_the_one_before(monkeypatch):
    put_terminal(monkeypatch)
    with working("loading") as progress:
        progress.task("rounds", 4)
        progress.update(4)
        progress.task("memory")
        (task,) = progress._view._bars.tasks
        assert (task.description, task.total, task.completed) == ("memory", None, 0)


def test_with_json_a_terminal_gets_no_bar(monkeypatch):
    terminal = put_terminal(monkeypatch)
    render.use_json(True)
    with working("loading") as progress:
        progress.task("rounds", 4)
        progress.update(4)
    assert terminal.getvalue() == ""


def test_only_the_first_process_shows_anything(monkeypatch, capsys):
    terminal = put_terminal(monkeypatch)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("binarize.cli.progress.FIRST", 0.0)
    with working("loading") as progress:
        progress.task("rounds", 4)
        progress.say("twice")
    assert terminal.getvalue() == ""
    assert capsys.readouterr().out == ""


def test_it_knows_what_can_be_resumed(clock):
    progress = Shown(lines(clock)[1])
    assert progress.path is None
    progress.run(Path("runs/one"))
    assert progress.path == Path("runs/one")
