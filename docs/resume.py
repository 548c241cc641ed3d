"""Turn stored rows into the folder of a run again, which `fusioncam benchmark --extend` continues.

python docs/resume.py NAME MODEL FOLDER [METRIC...]

FOLDER gets the rows of docs/results/NAME of one network, by default of all metrics. The command of that run, with the
data, layer and engine of the rows, ``--no-heatmaps`` and ``--extend``, measures more images, methods or metrics.
`python docs/results.py NAME --untimed docs/results/NAME FOLDER...` then stores the old rows and the new ones.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fusioncam.benchmark.plan import Plan
from fusioncam.benchmark.run_folder import open_journal
from fusioncam.report.stored_rows import read_plan, read_rows
from fusioncam.utils.files import writable_folder

RESULTS = Path(__file__).parent / "results"


def resume(name, model, folder, metrics=()):
    """Write the stored rows of a network to a new folder, a line for each image, with the plan they belong to."""
    rows = read_rows(RESULTS / name / "rows.parquet")
    rows = rows[(rows["model"] == model) & (rows["metric"].isin(metrics) if metrics else True)]
    if rows.empty:
        sys.exit(f"docs/results/{name} has no rows of {model}{' in ' + ', '.join(metrics) if metrics else ''}")
    journal = open_journal(writable_folder(folder))
    if journal.images():
        sys.exit(f"{folder} has rows already: choose another folder")
    plan_of(rows, read_plan(RESULTS / name / "plan.json")).save(folder / "plan.json")
    for _, image in rows.groupby("image", sort=False):
        objects = image.astype(object)
        journal.append(objects.where(objects.notna(), None).to_dict("records"))


def plan_of(rows, stored):
    """Return the plan of the rows, whose data, class map and seed are those of the stored plan."""
    versions = json.loads(rows["versions"].iloc[0])
    return Plan(
        data=stored["data"],
        models=tuple(rows["model"].unique()),
        methods=tuple(rows["method"].unique()),
        metrics=tuple(rows["metric"].unique()),
        layer=rows["layer"].iloc[0],
        target=stored["target"],
        limit=rows["image"].nunique(),
        seed=stored["seed"],
        precision=stored["precision"],
        keep_heatmaps=False,
        engine=versions.get("engine"),
    )


if __name__ == "__main__":
    _, name, model, folder, *metrics = sys.argv
    resume(name, model, Path(folder), metrics)
