"""What the program says when something goes wrong: exit code, stdout and stderr together."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import types

import pytest
import torch

from binarize.cli import app
from binarize.errors import ModelError


@pytest.fixture
def failing(monkeypatch):
    """A program with one command, `fail`, that raises what the test says."""

    def program(problem):
        def command() -> None:
            """Raise."""
            raise problem

        module = types.ModuleType("fail", "`binarize fail`: nothing.")
        module.command, module.EXAMPLES = command, "binarize fail\nbinarize fail"
        monkeypatch.setattr(app, "COMMANDS", {"fail": module, "other": module})
        return app.main(["fail"])

    return program


def chained(problem, cause):
    problem.__cause__ = cause
    return problem


FULL = 'error: the disk is full while writing "runs/x"\nhint: free some space and try again\n'
ENDED = (
    "error: a process that loads images ended: DataLoader worker (pid(s) 7) exited unexpectedly\n"
    "hint: fewer of them take less memory, and without any a damaged image is named: -j 0 of eval, "
    "--set data.workers=0 of train\n"
)
NAMELESS = "error: the disk is full\nhint: free some space and try again\n"
NO_MEMORY = "error: there is not enough memory\nhint: take smaller images, batches or models\n"


@pytest.mark.parametrize(
    ("problem", "code", "words"),
    [
        (ModelError('no model "x"', "try y"), 1, 'error: no model "x"\nhint: try y\n'),
        (ModelError("no hint"), 1, "error: no hint\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), 1, ENDED),
        (OSError(errno.ENOSPC, "No space left on device", "runs/x"), 1, FULL),
        (OSError(errno.ENOSPC, "No space left on device"), 1, NAMELESS),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 1, NAMELESS),
        (chained(ModelError("cannot write"), OSError(errno.EDQUOT, "Quota", "runs/x")), 1, FULL),
        (MemoryError(), 1, NO_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), 1, NO_MEMORY),
        (
            RuntimeError(
                "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
            ),
            1,
            NO_MEMORY,
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x"),
            1,
            'error: permission denied: "/x"\nhint: check the path and its rights\n',
        ),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"),
            1,
            'error: not a directory: "a/b"\nhint: check the path and its rights\n',
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_one_sentence_and_one_hint(failing, capsys, problem, code, words):
    assert failing(problem) == code
    assert capsys.readouterr() == ("", words)


def test_what_nobody_foresaw_is_called_a_bug(failing, capsys):
    assert failing(ZeroDivisionError("division\nby zero")) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "error: unexpected ZeroDivisionError: division by zero"
    assert app.TRACEBACK in err.splitlines()[1]


def test_the_traceback_comes_out_on_request(failing, monkeypatch):
    monkeypatch.setenv(app.TRACEBACK, "1")
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError())


@pytest.mark.parametrize(
    ("arguments", "words", "command"),
    [
        (["--nonsense"], "no such option: --nonsense", "binarize"),
        (["evil"], "no such command 'evil'. Did you mean 'eval'?", "binarize"),
        (["convert"], "missing argument 'MODEL'", "binarize convert"),
        (["eval", "--limit", "many"], "invalid value for '--limit': ", "binarize eval"),
        (["eval", "--limit", "0"], "invalid value for '--limit': ", "binarize eval"),
        (["models", "ls", "a", "b"], "got unexpected extra argument", "binarize models ls"),
    ],
    ids=["option", "command", "missing", "value", "range", "extra"],
)
def test_wrong_usage(capsys, arguments, words, command):
    assert app.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    error, hint = err.splitlines()
    assert error.startswith(f"error: {words}")
    assert hint == f"hint: see {command} --help"


def test_no_arguments_show_the_help(capsys):
    assert app.main([]) == 2
    out, err = capsys.readouterr()
    assert out.startswith("Usage: binarize")
    assert err == ""


def test_a_reader_that_leaves_early_is_no_error():
    shell = f"{sys.executable} -m binarize recipes schema | head -c 1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
    assert done.stdout == "{"
    assert "rror" not in done.stderr


def test_a_terminal_without_unicode_is_no_error():
    done = subprocess.run(
        [sys.executable, "-m", "binarize", "recipes", "ls"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "digits" in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_ctrl_c_says_one_line():
    script = (
        "import os, signal, threading, time\n"
        "from binarize.cli import app, models\n"
        "def command() -> None:\n"
        "    '''Wait.'''\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(30)\n"
        "models.COMMANDS['wait'] = command\n"
        "models.EXAMPLES['wait'] = ''\n"
        "raise SystemExit(app.main(['models', 'wait']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n")


LIBRARIES_TALK = """
import logging, sys, warnings
from binarize.cli import app, models
def command() -> None:
    'Talk as libraries do.'
    warnings.warn('deprecated', stacklevel=1)
    logging.getLogger('timm').warning('falling back')
    logging.basicConfig()
    logging.getLogger('torch').error('no such backend')
    print('done')
models.COMMANDS['talk'] = command
models.EXAMPLES['talk'] = ''
code = app.main(['models', 'talk'])
warnings.warn('of the caller', UserWarning, stacklevel=1)
raise SystemExit(code)
"""


@pytest.mark.parametrize("traceback", ["", "1"])
def test_libraries_are_not_heard_unless_asked_for(traceback):
    done = subprocess.run(
        [sys.executable, "-c", LIBRARIES_TALK],
        env={**os.environ, app.TRACEBACK: traceback, "PYTHONWARNINGS": "default"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "done\n")
    words = ("deprecated", "falling back", "no such backend")
    assert [word in done.stderr for word in words] == [bool(traceback)] * 3
    assert "of the caller" in done.stderr  # who calls from Python hears everything again
