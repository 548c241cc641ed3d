"""Checks of all arguments that hold for every command."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

# the parameters that hold one path; the commands themselves report empty values of others
PATHS = ("out", "folder", "checkpoint", "labels", "data", "masks", "against")


Formatter: Any = typer.Context.formatter_class
_UNBROKEN = "\N{NON-BREAKING HYPHEN}"


class NamesInOneLine(Formatter):  # type: ignore[misc] # typer does not export the class
    """Formats help without line breaks inside of names such as fusion-cam."""

    def write_text(self, text: str) -> None:
        """Write a paragraph."""
        super().write_text(text.replace("-", _UNBROKEN))

    def write_dl(self, rows: Any, *args: Any, **settings: Any) -> None:
        """Write options with their descriptions."""
        super().write_dl([(name, text.replace("-", _UNBROKEN)) for name, text in rows], *args, **settings)

    def getvalue(self) -> str:
        """Return the help."""
        return str(super().getvalue().replace(_UNBROKEN, "-"))


class _Context(typer.Context):
    formatter_class = NamesInOneLine


class CheckedCommand(TyperCommand):
    """A command that refuses empty paths, which would be the current folder, and texts with a NUL byte.

    Arguments that take any number of paths are left to the command, which reports each path by itself.
    """

    context_class = _Context

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words, after checking their texts."""
        if not ctx.resilient_parsing:  # completion parses unfinished lines
            values, _, _ = self.make_parser(ctx).parse_args(args=list(args))
            for param in self.params:
                if param.nargs != -1:
                    _check(param, values.get(param.name), ctx)
        return super().parse_args(ctx, args)


def _check(param: Any, value: object, ctx: Any) -> None:
    for text in value if isinstance(value, list) else [value]:
        if text == "" and param.name in PATHS:
            raise typer.BadParameter("it is empty: leave it out, or write . for the current folder", ctx, param)
        if isinstance(text, str) and "\0" in text:
            raise typer.BadParameter(f"it contains a NUL byte: {text!r}", ctx, param)
