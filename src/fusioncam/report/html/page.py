"""The HTML report: one file for a folder of results that needs no other file, server or network.

A content security policy in the page limits what it loads and runs to its own images, style and script. Names, labels
and errors are shown as text, whatever they contain.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fusioncam.audit.files import FILE as AUDIT
from fusioncam.errors import ResultsError
from fusioncam.report.html.stored_explanations import FILE as EXPLANATIONS
from fusioncam.report.html.writer import is_report

FILE, OUTDATED = "report.html", "report-outdated.html"


def write_html_report(folder: str | Path) -> list[Path]:
    """Write ``report.html`` into a folder of ``explain``, ``benchmark`` or ``audit``.

    Heatmaps of ``explain --bulk`` count as those of ``explain``. For ``benchmark`` it also writes tables and figures.
    A folder that holds several results counts as one of ``benchmark``, else as one of ``audit``. Returns the paths of
    all files. Raises :class:`ResultsError` if the folder is none of these or its files cannot be read, and
    :class:`OutputError` if a file cannot be written. An earlier page, which is not that of these results, is then
    renamed to ``report-outdated.html``.
    """
    folder = Path(folder)
    try:
        return _write(folder)
    except BaseException:
        rename_outdated_report(folder)
        raise


def rename_outdated_report(folder: Path) -> None:
    """Rename ``report.html``, if it is a report, to ``report-outdated.html``."""
    with suppress(OSError):  # it stays if the folder is not writable
        if is_report(folder / FILE):
            (folder / FILE).replace(folder / OUTDATED)


def _write(folder: Path) -> list[Path]:
    # each kind is imported when it is written: `fusioncam explain` needs no figures and no data frames
    if (folder / "plan.json").is_file():
        from fusioncam.report.html.benchmark_page import write_benchmark_page

        return write_benchmark_page(folder, folder / FILE)
    if (folder / AUDIT).is_file():
        from fusioncam.report.html.audit_page import write_audit_page

        return [write_audit_page(folder, folder / FILE)]
    if (folder / EXPLANATIONS).is_file():
        from fusioncam.report.html.explanations_page import write_explanations_page

        return [write_explanations_page(folder, folder / FILE)]
    from fusioncam.report.html.bulk_page import is_bulk, write_bulk_page

    if is_bulk(folder):
        return [write_bulk_page(folder, folder / FILE)]
    raise ResultsError(
        f"{folder} has neither plan.json nor {EXPLANATIONS} nor {AUDIT} nor heatmaps in bulk: pass the folder that "
        "`fusioncam benchmark`, `fusioncam explain` or `fusioncam audit` wrote to"
    )
