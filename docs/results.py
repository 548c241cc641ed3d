"""Write docs/results.md, what runs of `fusioncam benchmark` came to, from their rows, or check that it is up to date.

python docs/results.py [--check]
python docs/results.py NAME RUN... [--untimed RUN...]    # first takes the rows of these runs, all of the same data

Runs after ``--untimed`` lose their seconds: they shared the processor with other work, or ran on another machine.

A run lies in docs/results/NAME as rows.parquet, without most curves, and plan.json. What its tables say in plain
words is docs/results/NAME/findings.md, written by hand: read it again whenever the rows change.
"""

from __future__ import annotations

import json
import re
import sys
from itertools import takewhile
from pathlib import Path

import pandas as pd

from fusioncam.benchmark.results_store import write_parquet
from fusioncam.report.results import read_plan, read_results, read_rows
from fusioncam.report.tables.means import pages
from fusioncam.report.tables.model import is_baseline, markdown

ROOT = Path(__file__).parent
PAGE = ROOT / "results.md"
RUNS = {
    "paper": "The paper's experiments",
    "multiscale": "Fusion-CAM with finer layers",
    "localization": "Does it lie on the object",
    "ablation": "What each part of Fusion-CAM does",
    "multiscale-choice": "How the weights of finer layers were chosen",
}
LISTS = ("models", "methods", "metrics")
SAME = ("data", "layer", "target", "seed", "precision")
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


def store(name, timed, untimed):
    """Take the rows of runs that differ in methods and metrics alone; what several have is taken of the first."""
    runs = [*timed, *untimed]
    plans = [plan | {"data": Path(plan["data"]).name} for plan in (read_plan(run / "plan.json") for run in runs)]
    joined = plans[0] | {word: list(dict.fromkeys(one for plan in plans for one in plan[word])) for word in LISTS}
    joined["methods"].sort(key=is_baseline)
    for run, plan in zip(runs, plans, strict=True):
        if unlike := [word for word in SAME if plan[word] != joined[word]]:
            sys.exit(f"{run} is of another {', '.join(unlike)} than {runs[0]}: its rows do not belong beside those")
    rows = pd.concat([rows_of(run, run in timed) for run in runs], ignore_index=True)
    rows = rows.drop_duplicates(["model", "image", "method", "metric"])
    folder = ROOT / "results" / name
    folder.mkdir(parents=True, exist_ok=True)
    write_parquet(rows.where(rows.notna(), None).to_dict("records"), folder / "rows.parquet")
    (folder / "plan.json").write_text(json.dumps({word: joined[word] for word in (*LISTS, *SAME)}, indent=2))


def rows_of(run, timed):
    """Give a run's rows without most curves, and without seconds unless they count."""
    rows = read_rows(run / "rows.parquet").astype(object)
    rows["curve"] = rows["curve"].where(rows["family"] == "localization", None)  # MaxBoxAcc is made of these
    if not timed:
        rows[["seconds", "metric_seconds"]] = None
    return rows


def main():
    match sys.argv[1:]:
        case ["--check"]:
            current = PAGE.exists() and PAGE.read_text() == page()
            sys.exit(0 if current else "docs/results.md: run python docs/results.py")
        case [name, *runs]:
            timed = list(takewhile("--untimed".__ne__, runs))
            store(name, [*map(Path, timed)], [*map(Path, runs[len(timed) + 1 :])])
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
