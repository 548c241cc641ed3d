"""The command line: `fusioncam demo`, `explain`, `benchmark`, `report`, `list`, `doctor` and `app`."""

from __future__ import annotations

import io
import sys
import warnings
from importlib.metadata import version
from typing import Annotated

import typer

from fusioncam.cli.app import CODES
from fusioncam.cli.app import app as serve
from fusioncam.cli.benchmark import benchmark, list_metrics, report
from fusioncam.cli.doctor import doctor
from fusioncam.cli.explain import demo, explain
from fusioncam.cli.listing import listing
from fusioncam.cli.options import EXIT_CODES, SHORT_CODES
from fusioncam.cli.ray_options import with_address
from fusioncam.errors import FusionCamError

ABOUT = """Show what a vision model looked at: Fusion-CAM and its kin.

fusioncam demo

fusioncam explain cat.jpg

fusioncam explain --help
"""

app = typer.Typer(
    help=ABOUT,
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.add_typer(listing, name="list")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("fusioncam"))
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False,
) -> None:
    pass


app.command(epilog=EXIT_CODES)(demo)
app.command(epilog=EXIT_CODES)(explain)
app.command(epilog=EXIT_CODES)(benchmark)
app.command(epilog=EXIT_CODES)(report)
app.command("app", epilog=CODES)(serve)
app.command(epilog=SHORT_CODES)(doctor)
listing.command("metrics", epilog=SHORT_CODES)(list_metrics)


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


def main() -> None:
    """Run the command line; a mistake of the user's becomes one clear message, never a traceback."""
    warnings.showwarning = _warn
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a letter that the terminal lacks is no reason to stop
    try:
        app(with_address(sys.argv[1:]), prog_name="fusioncam")
    except FusionCamError as error:
        print(f"error: {error.explained()}", file=sys.stderr)
        sys.exit(2)
