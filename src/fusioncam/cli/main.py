"""The command line: `fusioncam demo`, `explain`, `benchmark`, `report`, `list`, `doctor` and `app`.

The modules of the commands import torch and other heavy packages inside their functions, so that help is fast.
"""

from __future__ import annotations

import io
import sys
import warnings
from importlib.metadata import version
from typing import Annotated

import typer

from fusioncam.cli.app import APP_EXIT_CODES
from fusioncam.cli.app import app as serve
from fusioncam.cli.benchmark import benchmark
from fusioncam.cli.doctor import doctor
from fusioncam.cli.explain import demo, explain
from fusioncam.cli.listing import listing
from fusioncam.cli.options import EXIT_CODES, SHORT_EXIT_CODES
from fusioncam.cli.ray_options import with_address
from fusioncam.cli.report import report
from fusioncam.errors import FusionCamError

ABOUT = """Show what a vision model looks at: Fusion-CAM and related methods.

\b
fusioncam demo
fusioncam explain cat.jpg
fusioncam explain --help
"""

app = typer.Typer(
    help=ABOUT,
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 118},
)
app.add_typer(listing, name="list")
app.command(epilog=EXIT_CODES)(demo)
app.command(epilog=EXIT_CODES)(explain)
app.command(epilog=EXIT_CODES)(benchmark)
app.command(epilog=EXIT_CODES)(report)
app.command("app", epilog=APP_EXIT_CODES)(serve)
app.command(epilog=SHORT_EXIT_CODES)(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("fusioncam"))
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


def _print_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


def main() -> None:
    """Run the command line; an error of the library is printed as one message, without a traceback."""
    warnings.showwarning = _print_warning
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a letter that the terminal cannot show must not stop a run
    try:
        app(with_address(sys.argv[1:]), prog_name="fusioncam")
    except FusionCamError as error:
        print(f"error: {error.explained()}", file=sys.stderr)
        sys.exit(2)
