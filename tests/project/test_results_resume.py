"""Stored rows of docs/results become the folder of a run again."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

from benchmark_runs import Recorder, benchmark_rows
from runs import same
from samples import photos

sys.path.append(str(Path(__file__).parents[2] / "docs"))
resume = import_module("resume")

STORED = {"methods": ["grad-cam"], "metrics": ["average-drop", "increase"]}
SETTINGS = {"layer": "conv", "engine": "torch", "keep_heatmaps": False}


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Store the rows of a run over two of four images, and return the folder of the images."""
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "photos")
    rows = benchmark_rows("photos", tmp_path / "first", limit=2, **SETTINGS, **STORED)
    folder = tmp_path / "results" / "toy"
    folder.mkdir(parents=True)
    rows.to_parquet(folder / "rows.parquet")
    plan = {"data": "photos", "target": "predicted", "seed": 0, "precision": None}
    (folder / "plan.json").write_text(json.dumps(plan))
    monkeypatch.setattr(resume, "RESULTS", tmp_path / "results")
    return rows


def test_only_new_images_and_metrics_are_measured(stored, tmp_path):
    """The rows of the continued run equal those of one run over all images."""
    resume.resume("toy", "samples:small", tmp_path / "again")
    listener = Recorder()
    wanted = {"methods": ["grad-cam"], "metrics": ["average-drop", "increase", "insertion(steps=4)"]}
    rows = benchmark_rows("photos", tmp_path / "again", extend=True, listener=listener, **SETTINGS, **wanted)

    same(rows, benchmark_rows("photos", tmp_path / "whole", **SETTINGS, **wanted))
    assert len(listener.rows) == len(rows) - len(stored)


def test_metrics_can_be_chosen(stored, tmp_path):
    """The folder holds the rows of the chosen metrics, with the values that were stored."""
    resume.resume("toy", "samples:small", tmp_path / "again", ["increase"])
    rows = benchmark_rows("photos", tmp_path / "again", ["grad-cam"], ["increase"], limit=2, **SETTINGS)
    chosen = stored[stored["metric"] == "increase"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, chosen)


def test_missing_rows_and_used_folders_are_refused(stored, tmp_path):
    """Nothing is written over a run."""
    with pytest.raises(SystemExit, match="has no rows of samples:other in increase"):
        resume.resume("toy", "samples:other", tmp_path / "again", ["increase"])
    resume.resume("toy", "samples:small", tmp_path / "again")
    with pytest.raises(SystemExit, match="has rows already"):
        resume.resume("toy", "samples:small", tmp_path / "again")
