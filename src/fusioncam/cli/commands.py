"""The command line: `fusioncam demo`, `explain`, `benchmark`, `audit`, `report`, `list`, `doctor` and others.

The modules of the commands import torch and other heavy packages inside their functions, so that help is fast.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

import typer

from fusioncam.cli.app import APP_EXIT_CODES
from fusioncam.cli.app import app as serve
from fusioncam.cli.arguments import CheckedCommand
from fusioncam.cli.audit import audit
from fusioncam.cli.benchmark import benchmark
from fusioncam.cli.doctor import doctor
from fusioncam.cli.explain import demo, explain
from fusioncam.cli.export import export_model
from fusioncam.cli.export_regions import export
from fusioncam.cli.listing import listing
from fusioncam.cli.options import EXIT_CODES, SHORT_EXIT_CODES
from fusioncam.cli.report import report

# the base of errors in a command line: typer exports only some of its subclasses
UsageError: type[Any] = typer.BadParameter.__mro__[1]

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
for command in (demo, explain, benchmark, report):
    app.command(cls=CheckedCommand, epilog=EXIT_CODES)(command)
app.command("app", cls=CheckedCommand, epilog=APP_EXIT_CODES)(serve)
app.command(cls=CheckedCommand, epilog=SHORT_EXIT_CODES)(doctor)
# their own summaries have more than 60 characters, and would be cut off at 80 columns
AUDIT, EXPORT = "Show where a network looks over a whole data set.", "Write the highlighted regions as annotations."
EXPORT_MODEL = "Write a model and its heatmaps as one ONNX file."
app.command(cls=CheckedCommand, epilog=EXIT_CODES, short_help=AUDIT)(audit)
app.command(cls=CheckedCommand, epilog=SHORT_EXIT_CODES, short_help=EXPORT)(export)
app.command("export-model", cls=CheckedCommand, epilog=SHORT_EXIT_CODES, short_help=EXPORT_MODEL)(export_model)


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
