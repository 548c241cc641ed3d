"""Write docs/results.md and its tables from stored rows of `fusioncam benchmark`, or check that they are up to date.

python docs/results.py [--check]
python docs/results.py NAME RUN... [--untimed RUN...]    # first store the rows of these runs, all of the same data

Runs after ``--untimed`` lose their seconds: they shared the processor with other work, or ran on another machine.

A run is stored in docs/results/NAME as rows.parquet, without most curves, and plan.json. Two texts are written by
hand and must be checked whenever the rows change: docs/results/NAME/findings.md states what the tables of a run show,
and docs/results/which-method.md opens the page. Numbers in {{...}} are computed from the rows, see
docs/evidence_text.py.
"""

from __future__ import annotations

import json
import re
import sys
from itertools import starmap, takewhile
from pathlib import Path

import evidence
import pandas as pd
from evidence_settings import figures
from evidence_text import filled

from fusioncam.benchmark.results_store import write_parquet
from fusioncam.report.figures.style import render
from fusioncam.report.results import read_results
from fusioncam.report.stored_rows import read_plan, read_rows
from fusioncam.report.tables.means import pages
from fusioncam.report.tables.model import is_baseline, markdown

ROOT = Path(__file__).parent
PAGE = ROOT / "results.md"
TABLES = ROOT / "results-tables.md"
FIGURES = ROOT / "images" / "results"
SECTIONS = {
    "paper": "The paper's experiments",
    "multiscale": "Fusion-CAM with finer layers",
    "localization": "Localization of objects",
    "ablation": "Ablation: the parts of Fusion-CAM",
    "retraining": "Metrics in the domain of the network",
    "multiscale-choice": "How the weights of finer layers were chosen",
}
# the answers over several runs, and which tables of the runs of evidence.DATA are shown
ANSWERS = ("fusion", "multiscale", "choice", "black-box", "wrappers", "settings")
FAMILY_PAGES = ("faithfulness", "localization", "cost", "aggregated-ranks")
LISTS = ("models", "methods", "metrics")
SAME = ("data", "target", "seed", "precision")
HEAD = """\
# Results

"""
TABLES_HEAD = """\
# Tables of the results

The means, paired comparisons and costs behind [Results](results.md), which says what they show.

"""
FOOT = """\
`docs/results.py` writes this page and its [tables](results-tables.md) from the rows in `docs/results`.
To measure such rows yourself, see [Run a benchmark](benchmark.md).
"""


def texts():
    """Return the text of each page: the answers with what each run shows, and the tables of the runs."""
    names = ["which-method", *(f"answers/{name}" for name in ANSWERS)]
    answers = [filled((ROOT / "results" / f"{name}.md").read_text()) for name in names]
    titles = titles_of_runs()
    return {
        PAGE: "\n".join([HEAD + answers[0], *answers[1:], *starmap(findings, titles.items()), FOOT]),
        TABLES: TABLES_HEAD + "\n".join(starmap(tables, titles.items())),
    }


def titles_of_runs():
    """Return the title of each stored run: those over families of networks first."""
    families = {name: data for name, data in evidence.DATA.items() if name not in SECTIONS}
    stored = [name for name in families if (ROOT / "results" / name / "rows.parquet").exists()]
    return {name: f"Families of networks: {families[name]}" for name in stored} | SECTIONS


def findings(name, title):
    """Return what a run shows, with a link to its tables."""
    text = (ROOT / "results" / name / "findings.md").read_text()
    return f"## {title}\n\n{filled(text)}\n[Tables](results-tables.md#{anchor(title)})\n"


def anchor(title):
    """Return the anchor of a heading, as the site and code hosts form it."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def tables(name, title):
    """Return the tables of a run, two heading levels lower; of runs over families those of FAMILY_PAGES."""
    every = pages(read_results(ROOT / "results" / name))
    shown = [table for table in every if name in SECTIONS or table.name in FAMILY_PAGES]
    text = "\n".join(map(markdown, shown))
    return f"## {title}\n\n{re.sub('^#', '###', text, flags=re.MULTILINE)}"


def store(name, timed, untimed):
    """Store the rows of runs that differ in methods and metrics only; the first run wins where several have a row."""
    runs = [*timed, *untimed]
    plans = [plan | {"data": data_name(plan["data"])} for plan in (read_plan(run / "plan.json") for run in runs)]
    joined = plans[0] | {key: list(dict.fromkeys(entry for plan in plans for entry in plan[key])) for key in LISTS}
    joined["methods"].sort(key=is_baseline)
    for run, plan in zip(runs, plans, strict=True):
        if unlike := [key for key in SAME if plan[key] != joined[key]]:
            sys.exit(f"{run} and {runs[0]} differ in {', '.join(unlike)}: store them under different names")
    rows = pd.concat([rows_of(run, run in timed) for run in runs], ignore_index=True)
    rows = rows.drop_duplicates(["model", "image", "method", "metric"])
    layers = rows.groupby("model", sort=False)["layer"].unique()
    if several := [model for model, names in layers.items() if len(names) > 1]:
        sys.exit(f"these runs measure {', '.join(several)} at several layers: store them under different names")
    joined["layer"] = {model: names[0] for model, names in layers.items()}
    folder = ROOT / "results" / name
    folder.mkdir(parents=True, exist_ok=True)
    write_parquet(rows.where(rows.notna(), None).to_dict("records"), folder / "rows.parquet")
    (folder / "plan.json").write_text(json.dumps({key: joined[key] for key in (*LISTS, "layer", *SAME)}, indent=2))


def data_name(data):
    """Return the data as it was given, of a whole path the last folder alone."""
    return Path(data).name if Path(data).is_absolute() else data


def rows_of(run, timed):
    """Return the rows of a run without most curves, and without seconds unless the run counts as timed."""
    rows = read_rows(run / "rows.parquet").astype(object)
    # MaxBoxAcc is computed from the curves of the localization metrics
    rows["curve"] = rows["curve"].where(rows["family"] == "localization", None)
    if not timed:
        rows[["seconds", "metric_seconds"]] = None
    return rows


def main():
    match sys.argv[1:]:
        case ["--check"]:
            changed = [page.name for page, text in texts().items() if not page.exists() or page.read_text() != text]
            sys.exit(f"{' and '.join(changed)} out of date: run python docs/results.py" if changed else 0)
        case [name, *runs]:
            timed = list(takewhile("--untimed".__ne__, runs))
            store(name, [*map(Path, timed)], [*map(Path, runs[len(timed) + 1 :])])
    for page, text in texts().items():
        page.write_text(text)
    for name, figure in figures():
        (FIGURES / f"{name}.svg").write_bytes(render(figure, "svg"))


if __name__ == "__main__":
    main()
