"""The program `binarize`: its table of commands, and what it says when something goes wrong.

A command is a file that defines

    EXAMPLES   two lines that can be typed as they stand; the end of its `--help`
    command    the function, with `Annotated` options; its docstring is the `--help`
    Command    (optional) the TyperCommand class that parses it

and a group is a file that defines HELP, COMMANDS (name -> function) and EXAMPLES (name -> lines). They
import nothing heavy at the top: `--help` has to answer at once.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Annotated

import typer

from binarize.cli import checks, convert, models, recipes, render, summary
from binarize.cli import eval as evaluate
from binarize.errors import BinarizeError

COMMANDS: dict[str, ModuleType] = {
    "convert": convert,
    "eval": evaluate,
    "summary": summary,
    "checks": checks,
}
GROUPS: dict[str, ModuleType] = {
    "recipes": recipes,
    "models": models,
}

TRACEBACK = "BINARIZE_TRACEBACK"
EPILOG = f"""\b
Examples:
  binarize convert resnet18
  binarize train --recipe digits

{TRACEBACK}=1 in the environment shows the Python traceback of an error.
"""
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

UsageError = typer.BadParameter.__mro__[1]  # click's; Typer carries a copy of its own since 0.16


def show_version(wanted: bool) -> None:
    if wanted:
        import binarize

        print(f"binarize {binarize.__version__}")
        raise typer.Exit


def program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Turn an existing vision network into a 1-bit one: convert, train, export, eval."""


def build() -> typer.Typer:
    """The whole program as a Typer application."""
    options = {
        "add_completion": False,
        "pretty_exceptions_enable": False,
        "rich_markup_mode": None,
        "no_args_is_help": True,
        "context_settings": CONTEXT,
    }
    app = typer.Typer(name="binarize", epilog=EPILOG, **options)
    app.callback()(program)
    for name, module in COMMANDS.items():
        kind = getattr(module, "Command", None)
        app.command(name, cls=kind, epilog=examples(module.EXAMPLES))(module.command)
    for name, module in GROUPS.items():
        group = typer.Typer(help=module.HELP, **options)
        for verb, function in module.COMMANDS.items():
            group.command(verb, epilog=examples(module.EXAMPLES[verb]))(function)
        app.add_typer(group, name=name)
    return app


def examples(lines: str) -> str:
    """The epilog that shows `lines` as they are (\\b keeps click from joining them)."""
    return "\b\nExamples:\n" + "\n".join(f"  {line.strip()}" for line in lines.strip().splitlines())


def main(args: Sequence[str] | None = None) -> int:
    """Run the program. Returns its exit code: 0, 1 for an error, 2 for wrong usage, 130 for Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 gets "?", not a crash
    render.use_json(False)
    try:
        # Not command.main(): it has answers of its own to Ctrl-C and to a broken pipe.
        command = typer.main.get_command(build())
        arguments = list(sys.argv[1:] if args is None else args)
        with command.make_context("binarize", arguments) as context:
            command.invoke(context)
        sys.stdout.flush()
        return 0
    except typer.Exit as done:
        return done.exit_code
    except (Exception, KeyboardInterrupt) as problem:
        if os.environ.get(TRACEBACK) == "1":
            raise
        return explain(problem)


def explain(problem: BaseException) -> int:
    """One sentence and one hint on stderr for what went wrong; the exit code."""
    if isinstance(problem, (KeyboardInterrupt, typer.Abort)):
        render.error("interrupted")
        return 130
    if isinstance(problem, UsageError):
        return explain_usage(problem)
    if isinstance(problem, BrokenPipeError):
        # Whoever read us has left; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if disk_is_full(problem):
        render.error(f"the disk is full{while_writing(problem)}", "free some space and try again")
    elif isinstance(problem, BinarizeError):
        render.error(problem.message, problem.hint)
    elif isinstance(problem, OSError) and problem.strerror:
        render.error(f"{problem.strerror.lower()}{where(problem)}", "check the path and its rights")
    else:
        words = " ".join(str(problem).split()) or "no message"
        render.error(
            f"unexpected {type(problem).__name__}: {words}",
            f"this is a bug in binarize; {TRACEBACK}=1 shows where it happened",
        )
    return 1


def explain_usage(problem: UsageError) -> int:
    """Wrong usage: click's sentence, and where the help is. No arguments at all: the help itself."""
    if type(problem).__name__ == "NoArgsIsHelpError":
        print(problem.ctx.get_help())
        return 2
    path = problem.ctx.command_path if problem.ctx else "binarize"
    message = " ".join(problem.format_message().split()).rstrip(".")
    render.error(message[:1].lower() + message[1:], f"see {path} --help")
    return 2


def disk_is_full(problem: BaseException | None) -> bool:
    """Whether `problem`, or what it was raised from, is a disk or quota that ran full.

    safetensors and torch wrap the system's error in their own, as text.
    """
    full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    while problem is not None:
        if isinstance(problem, OSError) and problem.errno in full:
            return True
        if any(words in str(problem) for words in ("No space left", "StorageFull", "FileTooLarge")):
            return True
        problem = problem.__cause__ or problem.__context__
    return False


def while_writing(problem: BaseException | None) -> str:
    """` while writing "X"`, for the first error in the chain that knows a file name."""
    while problem is not None:
        if isinstance(problem, OSError) and problem.filename:
            return f' while writing "{problem.filename}"'
        problem = problem.__cause__ or problem.__context__
    return ""


def where(problem: OSError) -> str:
    return f': "{problem.filename}"' if problem.filename else ""


if __name__ == "__main__":
    sys.exit(main())
