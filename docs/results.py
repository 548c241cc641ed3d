"""Write docs/results.md, what runs of `fusioncam benchmark` came to, from their rows, or check that it is up to date.

python docs/results.py [--check]
python docs/results.py NAME RUN... [--untimed]    # first takes the rows of these runs, all of the same data

``--untimed`` leaves the seconds out, for a run that shared its processor with other work.

A run lies in docs/results/NAME as rows.parquet, without most curves, and plan.json. What its tables say in plain
words is docs/results/NAME/findings.md, written by hand: read it again whenever the rows change.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pandas as pd

from fusioncam.benchmark.rows import write_parquet
from fusioncam.report import markdown, pages, read_results
from fusioncam.report.results import read_plan, read_rows

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
SAME = ("data", "layer", "target", "limit", "seed", "precision")
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


def store(name, runs, *, timed=True):
    """Take the rows of runs that differ in methods and metrics alone; what several have is taken of the first."""
    plans = [read_plan(run / "plan.json") for run in runs]
    joined = plans[0] | {word: list(dict.fromkeys(one for plan in plans for one in plan[word])) for word in LISTS}
    for run, plan in zip(runs, plans, strict=True):
        if unlike := [word for word in SAME if plan[word] != joined[word]]:
            sys.exit(f"{run} is of another {', '.join(unlike)} than {runs[0]}: its rows do not belong beside those")
    rows = pd.concat([read_rows(run / "rows.parquet") for run in runs], ignore_index=True)
    rows = rows.drop_duplicates(["model", "picture", "method", "metric"]).astype(object)
    rows["curve"] = rows["curve"].where(rows["family"] == "localization", None)  # MaxBoxAcc is made of these
    if not timed:
        rows[["seconds", "metric_seconds"]] = None
    folder = ROOT / "results" / name
    folder.mkdir(parents=True, exist_ok=True)
    write_parquet(rows.where(rows.notna(), None).to_dict("records"), folder / "rows.parquet")
    told = {word: joined[word] for word in (*LISTS, *SAME)} | {"data": Path(joined["data"]).name}
    (folder / "plan.json").write_text(json.dumps(told, indent=2))


def main():
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.exists() and PAGE.read_text() == page() else "docs/results.md: run python docs/results.py")
    if words := [one for one in sys.argv[1:] if one != "--untimed"]:
        name, *runs = words
        store(name, [*map(Path, runs)], timed="--untimed" not in sys.argv)
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
