"""The program `fusioncam`: run a command, and turn errors and Ctrl-C into messages and exit codes.

Only the standard library is imported at the top, so that Ctrl-C is handled from the first moment.
"""

from __future__ import annotations

import io
import sys
import warnings
from typing import TYPE_CHECKING, Any

from fusioncam.cli.interruption import CODE, ignore_at_exit, stopping_at_once
from fusioncam.cli.quick_imports import end_quickly

if TYPE_CHECKING:
    from fusioncam.cli.commands import app as app


def __getattr__(name: str) -> Any:
    """Import ``app``, the Typer app, when it is first used."""
    if name != "app":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from fusioncam.cli.commands import app

    return app


def main() -> None:
    """Run the command line and exit; errors are printed as messages, without a traceback."""
    end_quickly()
    with stopping_at_once():
        try:
            code = _run(sys.argv[1:])
        except KeyboardInterrupt:
            code = CODE
        ignore_at_exit()
        sys.exit(code)


def _run(words: list[str]) -> int:
    """Run a command line and return its exit code."""
    from fusioncam.cli.commands import UsageError, app
    from fusioncam.cli.output import print_note
    from fusioncam.cli.ray_options import with_address
    from fusioncam.errors import FusionCamError

    warnings.showwarning = lambda message, *_, **__: print_note(f"warning: {message}")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a letter that the terminal cannot show must not stop a run
    try:
        return app(with_address(words), prog_name="fusioncam", standalone_mode=False) or 0
    except UsageError as error:
        shown = io.StringIO()
        error.show(shown)
        print_note(shown.getvalue().rstrip("\n"))
        return 2
    except FusionCamError as error:
        print_note(f"error: {error.explained()}")
        return 2
    except OSError as error:
        # the file system refused something that no error of the library describes
        print_note(f"error: {error}")
        return 2
