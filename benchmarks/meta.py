"""The stored form of a measurement: machine, settings, numbers of each image and figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import figures
from fusioncam import load_model
from fusioncam.benchmark.machine import machine_facts
from fusioncam.utils.files import atomic_write, to_json

SCHEMA_VERSION = 2
RESULTS = Path(__file__).parent / "results"
PEERS = ("grad-cam", "torchcam", "scipy")
FIELDS = {
    "schema_version": int,
    "subject": str,
    "what": str,
    "metadata": dict,
    "settings": dict,
    "planned": int,
    "images": int,
    "complete": bool,
    "rows": list,
    "figures": list,
}
METADATA = {
    "began": str,
    "seconds": (int, float),
    "commit": (str, type(None)),
    "changed": (bool, type(None)),
    "versions": dict,
    "processor": str,
    "cores": int,
    "threads": int,
    "device": str,
    "load_before": (int, float, type(None)),
    "load_after": (int, float, type(None)),
    "keeps_freed_memory": bool,
}


def metadata(device):
    """Return facts about this machine and the time."""
    facts = machine_facts(load_model(device=device))
    facts["load_before"] = facts.pop("load")
    facts["versions"] |= {name: version(name) for name in PEERS}
    del facts["model"]
    commit, changes = (
        git("rev-parse", "--short", "HEAD"),
        git("status", "--porcelain", "--", "src", "benchmarks/*.py"),
    )
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"began": began, "commit": commit, "changed": None if changes is None else bool(changes)} | facts


def git(*words):
    """Return the output of git for this checkout; None if git fails."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def stored(subject, facts, began, rows, planned):
    """Return the content of the file of a subject after the given rows."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "schema_version": SCHEMA_VERSION,
        "subject": subject.name,
        "what": subject.what,
        "metadata": facts | {"load_after": load, "seconds": round(time.perf_counter() - began, 1)},
        "settings": subject.settings(),
        "planned": planned,
        "images": len(rows),
        "complete": len(rows) == planned,
        "rows": rows,
        "figures": subject.figures(rows),
    }


def write(folder, result):
    """Write a result to its file atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / f"{result['subject']}.json") as file:
        file.write(to_json(result) + b"\n")


def read(subject, folder=RESULTS):
    """Return the stored result of a subject; None if there is none."""
    path = folder / f"{subject}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def problems(result):
    """Return the problems of a stored result, in words."""
    wrong = [f"{field} is missing" for field in FIELDS if field not in result]
    wrong += [f"metadata.{field} is missing" for field in METADATA if field not in result.get("metadata", {})]
    if wrong:
        return wrong
    wrong = [
        f"{field} is not a {kind.__name__}" for field, kind in FIELDS.items() if not isinstance(result[field], kind)
    ]
    facts = result["metadata"]
    wrong += [f"metadata.{field} is {facts[field]!r}" for field, kind in METADATA.items() if not fits(facts, field)]
    if result["schema_version"] != SCHEMA_VERSION:
        wrong.append(f"schema_version is {result['schema_version']}, expected {SCHEMA_VERSION}")
    if result["images"] != len(result["rows"]):
        wrong.append(f"{result['images']} images, and {len(result['rows'])} rows")
    if result["complete"] != (result["images"] == result["planned"]):
        wrong.append("complete does not match the numbers of images and planned images")
    wrong += [f"row {number} names no image" for number, row in enumerate(result["rows"]) if "image" not in row]
    return wrong + [f"{one.get('what')}: {what}" for one in result["figures"] for what in figures.problems(one)]


def fits(facts, field):
    return isinstance(facts[field], METADATA[field])


def say(text):
    """Print progress on standard error, because results go to standard output."""
    print(text, file=sys.stderr, flush=True)
