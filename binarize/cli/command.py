"""How commands are parsed and shown: plain names of arguments, help that breaks no name, wrong usage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

# Click's, of which Typer has carried a copy since 0.16.
if TYPE_CHECKING:
    from typer._click import Context as ClickContext
    from typer._click import HelpFormatter
    from typer._click.exceptions import UsageError
else:
    HelpFormatter = typer.Context.formatter_class
    UsageError = typer.BadParameter.__mro__[1]

# Stand for "-" and " " while lines are wrapped: --data-dir and `binarize recipes ls` stay whole.
HYPHEN, SPACE = "\N{NON-BREAKING HYPHEN}", "\N{NO-BREAK SPACE}"


class WrongUsage(UsageError):
    """Wrong usage with a better hint than where the help is."""

    def __init__(self, message: str, hint: str, ctx: ClickContext | None = None) -> None:
        super().__init__(message, ctx)
        self.hint = hint


class Formatter(HelpFormatter):
    """The formatter of click that Typer carries, for words with hyphens."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(_whole(prog), _whole(args), prefix)

    def write_text(self, text: str) -> None:
        super().write_text(_whole(text))

    def write_dl(self, rows: Sequence[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        super().write_dl([(_whole(left), _whole(right)) for left, right in rows], *args, **kwargs)

    def getvalue(self) -> str:
        return super().getvalue().replace(HYPHEN, "-").replace(SPACE, " ")


class Context(typer.Context):
    """The context of every command, with that formatter."""

    formatter_class = Formatter


class Command(TyperCommand):
    """A command whose help writes an argument as `RUN` or `[RUN]`, whatever Typer's version makes of it."""

    context_class = Context

    def collect_usage_pieces(self, ctx: ClickContext) -> list[str]:
        pieces = [self.options_metavar] if self.options_metavar else []
        for param in _arguments(self, ctx):
            name = param.metavar if param.required else f"[{param.metavar}]"
            pieces.append(name + "..." * (param.nargs != 1))
        return pieces

    def format_options(self, ctx: ClickContext, formatter: HelpFormatter) -> None:
        arguments = [(param.metavar, param.help) for param in _arguments(self, ctx)]
        records = [
            param.get_help_record(ctx)
            for param in self.get_params(ctx)
            if param.param_type_name == "option"
        ]
        for title, rows in (("Arguments", arguments), ("Options", list(filter(None, records)))):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class Group(TyperGroup):
    """A group of such commands."""

    context_class = Context


def _arguments(command: TyperCommand, ctx: ClickContext) -> list[Any]:
    return [param for param in command.get_params(ctx) if param.param_type_name == "argument"]


def _whole(text: str) -> str:
    quoted = re.sub("`[^`]+`", lambda found: SPACE.join(found[0].split()), text)
    return quoted.replace("-", HYPHEN)
