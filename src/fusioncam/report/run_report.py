"""Write the tables and figures of a run of ``fusioncam benchmark`` from its rows, without a network.

:func:`write_report` needs ``rows.parquet`` and ``plan.json``. It uses these entries of the plan, all optional:

- ``methods`` and ``metrics``: lists of SPECs, whose order tables keep;
- ``reference``: the method that the others are compared with, by default ``fusion-cam``;
- ``tables``: lists of methods by name, each of which gets a table ``ablation-NAME``. Without it, sweeps and grids
  are found by the settings of the methods. A list ``main`` names the methods of the other tables and figures.

Needs the extra ``benchmark``.
"""

from __future__ import annotations

from pathlib import Path

from fusioncam.report.results import read_results


def write_report(run_folder: str | Path) -> list[Path]:
    """Write ``tables/*.md, *.csv, *.tex`` and ``figures/*.png, *.svg, *.pdf`` of a run, and return their paths.

    Files are replaced atomically. The same rows produce the same bytes.

    Args:
        run_folder: the folder that ``fusioncam benchmark`` wrote to.

    Returns:
        The paths of the files.

    Raises:
        ResultsError: if rows or plan are missing, truncated or malformed.
        OutputError: if a file cannot be written.

    Examples:
        ```python
        paths = fc.report.write_report("run/")
        [path.name for path in paths if path.suffix == ".svg"]
        ```
    """
    # figures take a third of a second to import, which the reports of other commands do not need
    from fusioncam.report.write import write_tables_and_figures

    return write_tables_and_figures(read_results(Path(run_folder)), Path(run_folder)).files
