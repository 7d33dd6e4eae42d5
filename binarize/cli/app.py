"""The program `binarize`: its table of commands, and what it says when something goes wrong.

A command is a file that defines

    EXAMPLES   two lines that can be typed as they stand; the end of its `--help`
    command    the function, with `Annotated` options; its docstring is the `--help`
    Command    (optional) the TyperCommand class that parses it

and a group is a file that defines HELP, COMMANDS (name -> function) and EXAMPLES (name -> lines). What
a command's file says of it after the colon of its first line stands in the list of commands. These
files import nothing heavy at the top: `--help` has to answer at once.
"""

from __future__ import annotations

import errno
import inspect
import os
import re
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Annotated

import typer

from binarize.cli import checks, convert, estimators, models, recipes, render, summary, train
from binarize.cli import eval as evaluate
from binarize.errors import BinarizeError

COMMANDS: dict[str, ModuleType] = {
    "convert": convert,
    "train": train,
    "eval": evaluate,
    "summary": summary,
    "checks": checks,
}
GROUPS: dict[str, ModuleType] = {
    "recipes": recipes,
    "estimators": estimators,
    "models": models,
}

TRACEBACK = "BINARIZE_TRACEBACK"
EPILOG = f"""\b
Examples:
  binarize convert resnet18
  binarize train --recipe digits

{TRACEBACK}=1 in the environment shows the Python traceback of an error.
"""
CONTEXT = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    "default_map": {"help": False},  # given as None, it has Typer import pydantic: twice the time
}

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
    look = {
        "add_completion": False,
        "pretty_exceptions_enable": False,
        "rich_markup_mode": None,
        "no_args_is_help": True,
        "context_settings": CONTEXT,
    }
    app = typer.Typer(name="binarize", epilog=EPILOG, **look)
    app.callback()(program)
    for name, module in COMMANDS.items():
        kind = getattr(module, "Command", None)
        options = {"cls": kind, "epilog": examples(module.EXAMPLES), "short_help": purpose(module)}
        app.command(name, **options)(module.command)
    for name, module in GROUPS.items():
        two = "\n".join("\n".join(module.EXAMPLES.values()).split("\n")[1:3])
        group = typer.Typer(help=module.HELP, short_help=module.HELP, epilog=examples(two), **look)
        for verb, function in module.COMMANDS.items():
            first = inspect.cleandoc(function.__doc__).splitlines()[0]
            options = {"epilog": examples(module.EXAMPLES[verb]), "short_help": first}
            group.command(verb, **options)(function)
        app.add_typer(group, name=name)
    return app


def purpose(module: ModuleType) -> str:
    """`Accuracy of runs.`, of a module whose docstring begins "`binarize eval`: accuracy of runs."."""
    words = module.__doc__.splitlines()[0].partition(": ")[2]
    return words[:1].upper() + words[1:]


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


def disk_is_full(problem: BaseException) -> bool:
    """Whether `problem`, or what it was raised from, is a disk, quota or file size limit reached."""
    full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    return any(error_number(link) in full for link in chain(problem))


def error_number(problem: BaseException) -> int | None:
    """The system's number for what happened. safetensors hands it on as text only."""
    if isinstance(problem, OSError):
        return problem.errno
    told = re.search(r"\(os error (\d+)\)", str(problem))
    return int(told[1]) if told else None


def while_writing(problem: BaseException) -> str:
    """` while writing "X"`, where anything in the chain knows a file name."""
    names = [
        link.filename for link in chain(problem) if isinstance(link, OSError) and link.filename
    ]
    return f' while writing "{names[0]}"' if names else ""


def chain(problem: BaseException | None) -> Iterator[BaseException]:
    """`problem`, what it was raised from, and so on."""
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__


def where(problem: OSError) -> str:
    return f': "{problem.filename}"' if problem.filename else ""


if __name__ == "__main__":
    sys.exit(main())
