"""The command `fusioncam export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fusioncam.cli.options import Json, Quiet
from fusioncam.cli.output import print_json, print_line


def complete_formats() -> list[str]:
    """List the formats."""
    return ["coco", "voc", "labelme", "png-masks"]


def export(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="the folder of fusioncam explain")],
    format: Annotated[  # the name of the option
        str, typer.Option(help="coco, voc, labelme or png-masks", autocompletion=complete_formats)
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="folder to write to; default: RUN/FORMAT")] = None,
    threshold: Annotated[str, typer.Option(help="otsu, a share of the highest heat, or such as top20%")] = "otsu",
    largest: Annotated[bool, typer.Option("--largest", help="only the largest piece of each heatmap")] = False,
    method: Annotated[str | None, typer.Option("--method", "-m", help="of a run of several methods")] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write the highlighted regions of a run as annotations: weak labels for detectors and segmentation networks.

    Each piece of a region becomes a box or a polygon in pixels of the original image, with the explained class as
    its label.

    \b
    fusioncam export fusioncam-out/ --format coco
    fusioncam export fusioncam-out/ --format png-masks --threshold top20% \\
        --largest --out masks/
    """
    from fusioncam.report.annotations import export_regions

    folder_out = out or folder / format
    pieces = "largest" if largest else "all"
    written = export_regions(folder, folder_out, format, threshold=threshold, pieces=pieces, method=method)
    if json:
        print_json({"folder": str(folder_out), "written": [str(path) for path in written]})
    elif not quiet:
        count = "1 file" if len(written) == 1 else f"{len(written):,} files"
        print_line(f"wrote {count}: {written[0] if len(written) == 1 else folder_out}")
