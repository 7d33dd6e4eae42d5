"""The program `binarize`: its table of commands, and what it says when something goes wrong.

A command is a file that defines

    EXAMPLES   two lines that can be typed as they stand; the end of its `--help`
    command    the function, with `Annotated` options; its docstring is the `--help`
    Command    (optional) the class that parses it, in place of `binarize.cli.command.Command`

and a group is a file that defines HELP, COMMANDS (name -> function) and EXAMPLES (name -> lines). What
a command's file says of it after the colon of its first line stands in the list of commands. These
files import nothing heavy at the top: `--help` has to answer at once.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Annotated

import typer

from binarize import interrupt
from binarize.cli import (
    bench,
    checks,
    compare,
    convert,
    estimators,
    export,
    models,
    predict,
    recipes,
    render,
    report,
    sensitivity,
    summary,
    train,
)
from binarize.cli import eval as evaluate
from binarize.cli.command import Command, Group
from binarize.cli.explain import explain
from binarize.cli.quiet import TRACEBACK, libraries_are_quiet, wants_everything

COMMANDS: dict[str, ModuleType] = {
    "convert": convert,
    "train": train,
    "export": export,
    "eval": evaluate,
    "predict": predict,
    "bench": bench,
    "compare": compare,
    "report": report,
    "sensitivity": sensitivity,
    "summary": summary,
    "checks": checks,
}
GROUPS: dict[str, ModuleType] = {
    "recipes": recipes,
    "estimators": estimators,
    "models": models,
}

EPILOG = f"""\b
Examples:
  binarize convert resnet18
  binarize train --recipe digits

{TRACEBACK}=1 in the environment shows the Python traceback of an error.
"""
COMPLETION = "_BINARIZE_COMPLETE"
FLAGS = ("help", "install_completion", "show_completion")
"""Typer's own. Given as None, they have it import pydantic: twice the time until a help is shown."""
CONTEXT = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    "default_map": dict.fromkeys(FLAGS, False),
}


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
    """Turn an existing vision network into a 1-bit one: convert, train, export, eval, bench."""


def build(completion: bool = True) -> typer.Typer:
    """The whole program as a Typer application; its options for completion cost time."""
    make = functools.partial(
        typer.Typer,
        cls=Group,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        no_args_is_help=True,
        context_settings=CONTEXT,
    )
    app = make(name="binarize", epilog=EPILOG, add_completion=completion)
    app.callback()(program)
    for name, module in COMMANDS.items():
        kind = getattr(module, "Command", Command)
        epilog = examples(module.EXAMPLES)
        app.command(name, cls=kind, epilog=epilog, short_help=purpose(module))(module.command)
    for name, module in GROUPS.items():
        two = "\n".join("\n".join(module.EXAMPLES.values()).split("\n")[1:3])
        group = make(help=module.HELP, short_help=module.HELP, epilog=examples(two))
        for verb, function in module.COMMANDS.items():
            first = inspect.cleandoc(function.__doc__).splitlines()[0]
            epilog = examples(module.EXAMPLES[verb])
            group.command(verb, cls=Command, epilog=epilog, short_help=first)(function)
        app.add_typer(group, name=name)
    return app


def purpose(module: ModuleType) -> str:
    """`Accuracy of runs.`, of a module whose docstring begins "`binarize eval`: accuracy of runs."."""
    words = inspect.getdoc(module) or ""
    words = words.partition("\n")[0].partition(": ")[2]
    return words[:1].upper() + words[1:]


def examples(lines: str) -> str:
    """The epilog that shows `lines` as they are (\\b keeps click from joining them)."""
    return "\b\nExamples:\n" + "\n".join(f"  {line.strip()}" for line in lines.strip().splitlines())


def main(args: Sequence[str] | None = None) -> int:
    """Run the program. Returns its exit code: 0, 1 for an error, 2 for wrong usage, 128 + N for signal N."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 gets "?", not a crash
    render.use_json(False)
    try:
        with interrupt.handled(), libraries_are_quiet():
            run(list(sys.argv[1:] if args is None else args))
        return 0
    except typer.Exit as done:
        return done.exit_code
    except SystemExit as done:  # Typer's way out of completion
        return int(done.code or 0)
    except (Exception, KeyboardInterrupt) as problem:
        if wants_everything():
            raise
        return explain(problem)


def run(args: list[str]) -> None:
    """Parse `args` and do what they say. command.main() would explain errors in its own way."""
    command = typer.main.get_command(build(not args or args[0].startswith("-")))
    if COMPLETION in os.environ:  # a shell asks how its line could go on
        command.main(args, prog_name="binarize")
    with command.make_context("binarize", args) as context:
        command.invoke(context)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
