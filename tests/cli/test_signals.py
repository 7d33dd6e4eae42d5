"""SIGTERM, SIGHUP and Ctrl-C end a command with one sentence, 128 + their number and nothing half-written."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from typed import run

from binarize.cli import app, progress
from binarize.recipe import dump, load
from binarize.run import files, open_run

if os.name != "posix":
    pytest.skip("signals as POSIX has them", allow_module_level=True)

SIGNALS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "the terminal was closed",
}
USUAL = dict.fromkeys(SIGNALS, signal.SIG_DFL) | {signal.SIGINT: signal.default_int_handler}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
PROGRAM = [sys.executable, "-W", "ignore", "-m", "binarize"]


@pytest.fixture(autouse=True)
def usual():
    """Signals as a shell hands them on: `nohup` and `&` have some ignored, also by what starts from here."""
    before = {number: signal.signal(number, handler) for number, handler in USUAL.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_while_a_run_is_written(number, folder, monkeypatch, capsys):
    monkeypatch.setattr(files, "_sync", lambda _: signal.raise_signal(number))
    assert run("convert", "cifar_resnet20", "--no-pretrained") == 128 + number
    assert capsys.readouterr() == ("", f"error: {SIGNALS[number]}\n")
    assert list(Path("runs").iterdir()) == []
    assert signal.getsignal(number) is USUAL[number]


def test_while_a_file_is_written(folder, trained, monkeypatch, capsys):
    monkeypatch.setattr(files, "_sync", lambda _: signal.raise_signal(signal.SIGTERM))
    assert run("export", trained, "--onnx", "m.onnx") == 143
    assert capsys.readouterr() == ("", "error: terminated\n")
    assert list(Path().iterdir()) == []


def test_while_processes_load_images(folder, trained, monkeypatch, capsys):
    began = []

    def update(self, done, note):
        if done:
            began.append(multiprocessing.active_children())
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(progress.Lines, "update", update)
    for name in open_run(trained).info.classes:
        path = Path("images/test") / name / "0.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(path)
    line = ["eval", trained, "--data-dir", "images", "--workers", "2", "--batch-size", "1"]
    assert run(*line) == 143
    assert capsys.readouterr().err == "error: terminated\n"
    assert len(began[0]) == 2
    assert multiprocessing.active_children() == []


def test_one_that_is_ignored_stays_ignored(monkeypatch):
    """By `nohup`."""
    monkeypatch.setattr(app, "run", lambda _: signal.raise_signal(signal.SIGHUP))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert app.main([]) == 0


def test_where_python_drops_what_is_raised(monkeypatch, capsys):
    class Dropped:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    def command(_):
        Dropped()
        with progress.working("working"):
            pytest.fail("the signal was forgotten")

    monkeypatch.setattr(app, "run", command)
    assert app.main([]) == 143
    assert capsys.readouterr() == ("", "error: terminated\n")


CLOSED = """
import os, sys, time
from binarize.cli import app, models, progress, render
def command() -> None:
    'Wait.'
    with progress.working('waiting'):
        os.write(int(sys.argv[1]), b'ready')
        time.sleep(30)
models.COMMANDS['wait'] = command
models.EXAMPLES['wait'] = ''
raise SystemExit(app.main(['models', 'wait']))
"""


def test_a_terminal_that_is_closed():
    """Whatever is written to it fails from then on, and still the exit code is the signal's."""
    import pty

    told, tells = os.pipe()
    child, terminal = pty.fork()
    if child == 0:
        os.set_inheritable(tells, True)
        os.execv(sys.executable, [sys.executable, "-c", CLOSED, str(tells)])
    os.close(tells)
    assert os.read(told, 5) == b"ready"
    os.close(told)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 129


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(number) for number in found.stdout.split()]


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


PROGRESS = re.compile(r"^(binarized|trials): .*\n", re.MULTILINE)


def terminated(arguments, ready) -> tuple[str, list[int]]:
    """Start a command, terminate it when `ready`, given its stdout, says so; stdout, and its processes."""
    started = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out = ""
    while not ready(out):
        line = started.stdout.readline()
        assert line, started.communicate()[1]
        out += line
    before = children_of(started.pid)
    started.send_signal(signal.SIGTERM)
    rest, err = started.communicate(timeout=240)
    assert (started.returncode, re.sub(PROGRESS, "", err)) == (143, "error: terminated\n")
    return out + rest, before


@pytest.fixture
def endless(folder) -> list[str]:
    """The options of a training that goes on for a thousand short epochs."""
    stage = {"epochs": 1000, "optimizer": {"name": "sgd", "lr": 0.05}}
    model = {"name": "cifar_resnet20", "pretrained": False}
    data = {"name": "digits", "img_size": 8, "batch_size": 1024}
    sections = {"model": model, "binarize": {}, "data": data, "stages": [stage]}
    (folder / "endless.yaml").write_text(dump(load(sections)))
    return ["--recipe", "endless.yaml"]


@pytest.mark.slow
def test_training_with_processes_that_load_images(folder, endless):
    changes = ["--set", "data.workers=2", "--set", "data.cache=false", "-o", "cut"]
    out, processes = terminated(
        ["train", *endless, *changes], lambda out: re.search(r"^epoch +1/", out, re.MULTILINE)
    )
    assert out.endswith("to resume it: binarize train --resume cut\n")
    time.sleep(0.5)
    assert not [pid for pid in processes if running(pid)]
    assert not list(Path("cut").rglob(".*"))


@pytest.mark.slow
def test_a_comparison_of_two_at_a_time(folder, endless):
    names = ["float-seed0", "ste-seed0"]

    def both_train(out):
        while out and not all((Path("sweep/cells") / name / "last").exists() for name in names):
            time.sleep(0.1)
        return out

    options = ["--estimators", "float,ste", "--jobs", "2", "-o", "sweep"]
    out, processes = terminated(["compare", *endless, *options], both_train)
    assert out.endswith("to resume it: binarize compare -o sweep\n")
    assert len(processes) == 2
    assert not [pid for pid in processes if running(pid)]
    # Whoever takes longer than `PATIENCE_SECONDS` is killed, and may leave what the next comparison removes.
    assert not list(Path("sweep/cells").glob("*.json"))
    assert all((Path("sweep/cells") / name / "run.json").exists() for name in names)
