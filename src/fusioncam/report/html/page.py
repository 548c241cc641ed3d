"""The report that people open: one HTML file of a folder of ``explain`` or ``benchmark``, which needs nothing else.

No network, no server and no other file is needed to make it or to look at it; what it may load and run is said in
its own content security policy. Names, labels and errors are text in it, whatever they hold.
"""

from __future__ import annotations

from pathlib import Path

from fusioncam.errors import ResultsError
from fusioncam.report.html.benchmark_page import write_measured
from fusioncam.report.html.explanations_page import FACTS, write_explained

FILE = "report.html"


def write_report(folder: str | Path) -> list[Path]:
    """Write ``report.html`` into a folder of ``explain``; into one of ``benchmark`` tables and figures, too.

    A folder that is of both is taken for one of ``benchmark``. Gives the paths of what was written. Raises
    :class:`ResultsError` for a folder of neither or with torn files, :class:`OutputError` if it cannot be written.
    """
    folder = Path(folder)
    if (folder / "plan.json").is_file():
        return write_measured(folder, folder / FILE)
    if (folder / FACTS).is_file():
        return [write_explained(folder, folder / FILE)]
    raise ResultsError(
        f"{folder} has neither plan.json nor {FACTS}: give the folder that `fusioncam benchmark` or "
        "`fusioncam explain` wrote to"
    )
