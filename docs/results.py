"""Write docs/results.md, what runs of `fusioncam benchmark` came to, from their rows, or check that it is up to date.

python docs/results.py [--check]

A run lies in docs/results/NAME as rows.parquet, without the curves, and plan.json. What its tables say in plain words
is docs/results/NAME/findings.md, written by hand: read it again whenever the rows change.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from fusioncam.report import markdown, pages, read_results

ROOT = Path(__file__).parent
PAGE = ROOT / "results.md"
RUNS = {"paper": "The paper's experiments"}
HEAD = """\
# Results

Written by `docs/results.py` from the rows in `docs/results`. How to make such rows: [Benchmarks](benchmark.md).
"""


def page():
    """Write the whole page."""
    return "\n".join([HEAD, *(section(name, title) for name, title in RUNS.items())])


def section(name, title):
    """Write one run: what it says, then its tables, two headings lower."""
    findings = (ROOT / "results" / name / "findings.md").read_text()
    tables = "\n".join(markdown(one) for one in pages(read_results(ROOT / "results" / name)))
    return f"## {title}\n\n{findings}\n{re.sub('^#', '###', tables, flags=re.MULTILINE)}"


def main():
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.exists() and PAGE.read_text() == page() else "docs/results.md: run python docs/results.py")
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
