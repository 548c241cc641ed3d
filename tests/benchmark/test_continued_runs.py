"""Test continued runs, and runs with failed images, methods, metrics and networks."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar
from unittest.mock import ANY

import pandas as pd
import pytest
import torch

from benchmark_runs import Recorder, Unreliable, benchmark_rows
from fusioncam.benchmark.api import benchmark, collect_results
from fusioncam.benchmark.plan import as_plan
from fusioncam.benchmark.runner import run
from fusioncam.distributed.progress import PlannedTime, ProgressListener
from kills import KILLS
from runs import same
from samples import photos


def test_a_finished_run_is_not_repeated(data, tmp_path):
    """The same call runs no job, and the rows are the same."""
    rows, listener = benchmark_rows(data, tmp_path / "run"), Recorder()
    again = benchmark_rows(data, tmp_path / "run", listener=listener)

    pd.testing.assert_frame_equal(rows, again)
    assert (listener.counts, listener.jobs) == ([(4, 4, 16)], [])


def test_the_time_of_what_is_left_is_known_before_the_first_image(data, tmp_path):
    """Of each network: the images without values, and the passes of methods and metrics."""
    first, second = Recorder(), Recorder()
    settings = {"methods": ["score-cam"], "metrics": ["average-drop", "seconds", "max-sensitivity"]}
    plan = as_plan(data=data, models=["samples:small"], limit=2, **settings)
    run(plan, tmp_path / "run", listener=first)
    run(
        replace(plan, limit=4, models=("samples:small", "samples:alike")),
        tmp_path / "run",
        extend=True,
        listener=second,
    )

    # Score-CAM, the drop of it and of three baselines, and ten runs of it
    assert first.plans == [(PlannedTime(2, 7 + 4 * 2 + 10 * 7, ANY), 0)]
    assert [(one.images, before) for one, before in second.plans] == [(2, 0), (4, 0)]


@pytest.mark.parametrize("at", [0, 1, 3])
def test_ctrl_c_keeps_the_finished_images(data, tmp_path, at, monkeypatch):
    """Finished images stay finished, and the next run continues."""
    whole = benchmark_rows(data, tmp_path / "whole")

    class Stopped(ProgressListener):
        def job_started(self, name):
            if name.endswith(f"{at:02}.png"):
                raise KeyboardInterrupt

    plan = as_plan(data=data, models=["samples:small"], methods=["grad-cam"], metrics=["average-drop"])
    result = run(plan, tmp_path / "run", listener=Stopped())
    assert (result.interrupted, result.rows) == (True, 4 * at)
    assert collect_results(tmp_path / "run").rows == 4 * at
    listener = Recorder()
    assert run(plan, tmp_path / "run", listener=listener).rows == 16
    assert listener.counts == [(4, at, 4 * at)]
    same(pd.read_parquet(tmp_path / "run" / "rows.parquet"), whole)


def killed(data, out, kills, seed):
    """Kill ``kills`` runs at random moments, and check that the next one has the rows of an undisturbed run."""
    specs = ("fusion-cam;ablation-cam;is-cam(samples=2)", "average-drop;insertion(steps=8)")
    whole = benchmark_rows(data, out / "whole", *(spec.split(";") for spec in specs))
    program = [sys.executable, "killed.py", out / "run", kills, seed, data, *specs]
    done = subprocess.run(
        list(map(str, program)), cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == kills, done.stderr
    after = pd.read_parquet(
        benchmark(
            data, out=out / "run", models=["samples:small"], methods=specs[0].split(";"), metrics=specs[1].split(";")
        )
    )

    same(after, whole)
    assert not after.duplicated(["model", "image", "method", "metric"]).any()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_run_that_is_killed_several_times_has_the_same_rows(tmp_path):
    """The run survives `kill -9` at random moments; FUSIONCAM_TEST_KILLS is their number."""
    killed(photos(tmp_path / "photos", 3 * KILLS), tmp_path, KILLS, seed=1)


def test_a_failed_image_is_a_row_and_is_tried_again(data, tmp_path):
    """The run continues without it; once it is readable, the same call measures only this image."""
    good = (data / "01.png").read_bytes()
    (data / "01.png").write_bytes(good[:100])
    rows = benchmark_rows(data, tmp_path / "run")
    failed = rows[rows["error"].notna()]
    assert failed[["image", "method", "metric"]].to_numpy().tolist() == [["01.png", "", ""]]
    assert "01.png: damaged or truncated" in failed["error"].item()
    assert len(rows) == 1 + 3 * 4

    (data / "01.png").write_bytes(good)
    listener = Recorder()
    again = benchmark_rows(data, tmp_path / "run", listener=listener)
    assert listener.jobs == ["01.png"]
    same(again, benchmark_rows(data, tmp_path / "other"))


def test_a_failed_method_is_a_row_and_affects_no_other(data, tmp_path, unreliable):
    """The image's other methods are measured, and only the failed one is tried again."""
    Unreliable.fails = {1}
    rows = benchmark_rows(data, tmp_path / "run", [unreliable, "grad-cam"])
    failed = rows[rows["error"].notna()]
    assert failed[["image", "metric", "error"]].to_numpy().tolist() == [["01.png", "", "KeyError: 'weights'"]]
    assert rows["value"].notna().sum() == 4 * 5 - 1

    listener = Recorder()
    again = benchmark_rows(data, tmp_path / "run", [unreliable, "grad-cam"], listener=listener)
    assert (again["error"].notna().sum(), len(again), len(listener.rows)) == (0, 20, 1)


def test_a_failed_metric_is_a_row_and_affects_no_other(data, tmp_path):
    """An infinite value is an error, NaN is an undefined value."""

    @dataclass(frozen=True)
    class Bad:
        family: ClassVar[str] = "faithfulness"
        higher_is_better: ClassVar[bool] = True
        needs_truth: ClassVar[bool] = False
        needs_method: ClassVar[bool] = False
        shares_objective: ClassVar[tuple[str, ...]] = ()
        value: float = torch.inf

        def __call__(self, model, x, target, heatmaps):
            return torch.tensor([self.value]) if self.value else 1 / 0

    rows = benchmark_rows(data, tmp_path / "run", metrics=["average-drop", Bad(), Bad(0), Bad(torch.nan)], limit=1)
    assert rows.groupby("metric")["value"].count().to_dict() == {
        "average-drop": 4,
        repr(Bad()): 0,
        repr(Bad(0)): 0,
        repr(Bad(torch.nan)): 0,
    }
    errors = rows[rows["method"] == "ones"].set_index("metric")["error"]
    assert errors[repr(Bad())] == "the metric returned infinity"
    assert errors[repr(Bad(0))] == "ZeroDivisionError: division by zero"
    assert pd.isna(errors[repr(Bad(torch.nan))])


def test_a_failed_network_has_an_error_for_every_image(data, tmp_path):
    """Another model of the run is not affected."""
    rows = benchmark_rows(data, tmp_path / "run", models=["samples:small", "samples:nan"])

    assert rows.groupby("model")["error"].count().to_dict() == {"samples:nan": 4, "samples:small": 0}
    assert {*rows["error"].dropna()} == {"the network returned NaN or infinity among its scores"}
