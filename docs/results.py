"""Write docs/results.md from stored rows of `fusioncam benchmark`, or check that it is up to date.

python docs/results.py [--check]
python docs/results.py NAME RUN... [--untimed RUN...]    # first store the rows of these runs, all of the same data

Runs after ``--untimed`` lose their seconds: they shared the processor with other work, or ran on another machine.

A run is stored in docs/results/NAME as rows.parquet, without most curves, and plan.json. Two texts are written by
hand and must be checked whenever the rows change: docs/results/NAME/findings.md states what the tables of a run show,
and docs/results/which-method.md opens the page. Numbers in {{...}} in which-method.md and in the findings of
docs/results/families* are computed from the rows, see docs/evidence_text.py.
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
FIGURES = ROOT / "images" / "results"
SECTIONS = {
    "paper": "The paper's experiments",
    "multiscale": "Fusion-CAM with finer layers",
    "localization": "Localization of objects",
    "ablation": "Ablation: the parts of Fusion-CAM",
    "multiscale-choice": "How the weights of finer layers were chosen",
}
# the answers over the runs of evidence.DATA, and what tables of these runs the page shows
ANSWERS = ("fusion", "multiscale", "choice", "settings")
FAMILY_PAGES = ("faithfulness", "localization", "cost", "aggregated-ranks")
LISTS = ("models", "methods", "metrics")
SAME = ("data", "target", "seed", "precision")
HEAD = """\
# Results

"""
FOOT = """\
`docs/results.py` writes this page from the rows in `docs/results`. To measure such rows yourself, see
[Run a benchmark](benchmark.md).
"""


def page():
    """Return the whole page as Markdown: the advice first, the answers over networks, then a section per run."""
    texts = ["which-method", *(f"answers/{name}" for name in ANSWERS)]
    answers = [filled((ROOT / "results" / f"{name}.md").read_text()) for name in texts]
    stored = [name for name in evidence.DATA if (ROOT / "results" / name / "rows.parquet").exists()]
    families = [family_section(name) for name in stored if name not in SECTIONS]
    return "\n".join([HEAD + answers[0], *answers[1:], *families, *(starmap(section, SECTIONS.items())), FOOT])


def family_section(name):
    """Return the section of a run over families of networks: its setting and the tables of means."""
    findings = filled((ROOT / "results" / name / "findings.md").read_text())
    shown = [table for table in pages(evidence.results(name)) if table.name in FAMILY_PAGES]
    return section_of(f"Families of networks: {evidence.DATA[name]}", findings, shown)


def section(name, title):
    """Return the section of a run: its findings, then its tables."""
    findings = (ROOT / "results" / name / "findings.md").read_text()
    return section_of(title, findings, pages(read_results(ROOT / "results" / name)))


def section_of(title, findings, tables):
    """Return a section with tables two heading levels lower."""
    text = "\n".join(map(markdown, tables))
    return f"## {title}\n\n{findings}\n{re.sub('^#', '###', text, flags=re.MULTILINE)}"


def store(name, timed, untimed):
    """Store the rows of runs that differ in methods and metrics only; the first run wins where several have a row."""
    runs = [*timed, *untimed]
    plans = [plan | {"data": Path(plan["data"]).name} for plan in (read_plan(run / "plan.json") for run in runs)]
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
            current = PAGE.exists() and PAGE.read_text() == page()
            sys.exit(0 if current else "docs/results.md is out of date: run python docs/results.py")
        case [name, *runs]:
            timed = list(takewhile("--untimed".__ne__, runs))
            store(name, [*map(Path, timed)], [*map(Path, runs[len(timed) + 1 :])])
    PAGE.write_text(page())
    for name, figure in figures():
        (FIGURES / f"{name}.svg").write_bytes(render(figure, "svg"))


if __name__ == "__main__":
    main()
