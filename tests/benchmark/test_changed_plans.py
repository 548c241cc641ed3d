"""Test runs with a changed plan: rejected, extended, or with stored heatmaps."""

from __future__ import annotations

import json
from importlib.metadata import version

import pandas as pd
import pytest
import torch

from benchmark_runs import BASELINES, Recorder, Unreliable, benchmark_rows
from fusioncam.benchmark.api import collect_results
from fusioncam.benchmark.plan import as_plan
from fusioncam.benchmark.run_folder import HeatmapStore
from fusioncam.benchmark.runner import run
from fusioncam.distributed.progress import ProgressListener
from fusioncam.errors import ResultsError, SettingError, UnknownNameError
from fusioncam.inference.engines import selection
from runs import same


def test_a_changed_plan_is_rejected_with_the_differences(data, tmp_path):
    """The rows of the first plan are kept."""
    rows = benchmark_rows(data, tmp_path / "run")
    with pytest.raises(ResultsError) as caught:
        benchmark_rows(data, tmp_path / "run", ["layer-cam"], seed=1)

    assert str(caught.value) == (
        f"{tmp_path / 'run'} has rows of another plan: choose another folder\n"
        "  method: + layer-cam, - grad-cam\n  seed: 0 -> 1"
    )
    pd.testing.assert_frame_equal(benchmark_rows(data, tmp_path / "run"), rows)


def test_a_failed_plan_can_be_corrected(data, tmp_path):
    """A folder without rows accepts another plan after a mistyped one."""
    (data / "run").mkdir()
    with pytest.raises(SettingError, match="samples:smal returned no model"):
        benchmark_rows(data, tmp_path / "run", models=["samples:smal"])
    assert len(benchmark_rows(data, tmp_path / "run")) == 16


def test_a_plan_stopped_before_its_first_row_can_be_replaced(data, tmp_path):
    """A stored plan without rows does not prevent another plan."""

    class Stopped(ProgressListener):
        def job_started(self, name):
            raise KeyboardInterrupt

    plan = as_plan(data=data, models=["samples:small"], methods=["layer-cam"], metrics=["increase"])
    assert run(plan, tmp_path / "run", listener=Stopped()).interrupted
    assert (tmp_path / "run" / "plan.json").exists()
    assert len(benchmark_rows(data, tmp_path / "run")) == 16


def test_rows_without_a_plan_are_rejected(data, tmp_path):
    """Without the plan the rows cannot be interpreted."""
    benchmark_rows(data, tmp_path / "run")
    (tmp_path / "run" / "plan.json").unlink()
    with pytest.raises(ResultsError, match=r"has rows but no plan\.json"):
        benchmark_rows(data, tmp_path / "run")
    with pytest.raises(ResultsError, match="is not the folder of a benchmark"):
        collect_results(tmp_path / "run")


def test_extending_a_run_computes_only_what_is_new(data, tmp_path):
    """The rows equal those of a run that had the larger plan from the start."""
    small = {"limit": 2}
    benchmark_rows(data, tmp_path / "run", ["grad-cam"], ["average-drop"], **small)
    wanted = (["grad-cam", "layer-cam"], ["average-drop", "insertion(steps=4)"])
    with pytest.raises(ResultsError, match="use --extend to compute only what is new"):
        benchmark_rows(data, tmp_path / "run", *wanted)
    listener = Recorder()
    rows = benchmark_rows(data, tmp_path / "run", *wanted, extend=True, listener=listener)

    same(rows, benchmark_rows(data, tmp_path / "whole", *wanted))
    assert len(listener.rows) == 40 - 8
    assert (rows.groupby(["image", "method"])["seconds"].nunique() == 1).all()
    with pytest.raises(ResultsError, match="of another plan: choose"):
        benchmark_rows(data, tmp_path / "run", ["grad-cam"], ["average-drop"], extend=True, **small)


def test_stored_heatmaps_are_used_for_a_new_metric(data, tmp_path, unreliable):
    """No method runs again, ``extend`` is not needed, and values equal those of a run with both metrics."""
    methods, both = [unreliable, "score-cam", "score-cam:official"], ["average-drop", "insertion(steps=4)"]
    first = benchmark_rows(data, tmp_path / "run", methods, both[:1], keep_heatmaps=True)
    calls, listener = len(Unreliable.calls), Recorder()
    rows = benchmark_rows(data, tmp_path / "run", methods, both, keep_heatmaps=True, listener=listener)

    assert (len(Unreliable.calls), len(listener.rows)) == (calls, 4 * 6)
    same(rows, benchmark_rows(data, tmp_path / "whole", methods, both))
    times = rows.groupby(["image", "method"])["seconds"].nunique()
    assert (times == 1).all()
    assert first["seconds"].tolist() == rows.loc[rows["metric"] == "average-drop", "seconds"].tolist()


def test_heatmaps_of_a_new_method_are_added(data, tmp_path):
    """An extended run keeps the heatmaps of earlier methods."""
    benchmark_rows(data, tmp_path / "run", keep_heatmaps=True)
    benchmark_rows(data, tmp_path / "run", ["grad-cam", "layer-cam"], keep_heatmaps=True, extend=True)

    stored = HeatmapStore(tmp_path / "run" / "heatmaps").load("samples:small", "00.png")
    assert {*stored} == {"grad-cam", "layer-cam", *BASELINES}


def test_heatmaps_are_kept_by_default(data, tmp_path):
    """The report of a small run shows images, unless none are wanted."""
    benchmark_rows(data, tmp_path / "run")
    assert len(list((tmp_path / "run" / "heatmaps").rglob("*.safetensors"))) == 4
    benchmark_rows(data, tmp_path / "none", keep_heatmaps=False)
    assert not (tmp_path / "none" / "heatmaps").exists()


def test_a_missing_heatmap_is_computed_again(data, tmp_path):
    """So is a heatmap whose file is damaged."""
    benchmark_rows(data, tmp_path / "run", keep_heatmaps=True)
    files = sorted((tmp_path / "run" / "heatmaps").rglob("*.safetensors"))
    assert len(files) == 4
    files[0].unlink()
    files[1].write_bytes(b"damaged")
    rows = benchmark_rows(data, tmp_path / "run", metrics=["average-drop", "insertion(steps=4)"], keep_heatmaps=True)

    same(rows, benchmark_rows(data, tmp_path / "whole", metrics=["average-drop", "insertion(steps=4)"]))
    assert len(list((tmp_path / "run" / "heatmaps").rglob("*.safetensors"))) == 4


def test_heatmaps_are_stored_exactly(tmp_path):
    """Heatmaps are stored to the last bit, by method, and images never share a file."""
    store = HeatmapStore(tmp_path)
    maps = {"fuse(rule=mean)": torch.rand(3, 4), "b/c": torch.rand(1, 5).expand(2, 5)}
    store.save("a:b", "x/y", maps)
    store.save("a_b", "x_y", {})

    assert store.load("a:b", "x/y").keys() == maps.keys()
    assert all(torch.equal(heatmap, maps[name]) for name, heatmap in store.load("a:b", "x/y").items())
    assert store.load("a_b", "x_y") == store.load("a", "b") == {}
    store.save("m", "long" * 100, {})


def test_the_engine_belongs_to_the_plan(data, tmp_path, monkeypatch):
    """Rows state it, and a run with another engine is refused, so that no folder mixes their values."""
    out = tmp_path / "run"
    rows = benchmark_rows(data, out, engine="torch")
    versions = json.loads(rows["versions"][0])

    assert (versions["engine"], "openvino" in versions) == ("torch", False)
    for engine, change in (("openvino", "torch -> openvino"), (None, "torch -> none")):
        with pytest.raises(ResultsError, match=f"another plan: choose another folder\n  engine: {change}"):
            benchmark_rows(data, out, engine=engine)
    with pytest.raises(UnknownNameError, match="unknown engine 'onnx'"):
        benchmark_rows(data, out, engine="onnx")
    pd.testing.assert_frame_equal(benchmark_rows(data, out, engine="torch"), rows)


def test_the_engine_reaches_the_network(data, tmp_path, monkeypatch):
    """By name every network is converted, and without a name the version that may run is stated."""
    monkeypatch.setenv("FUSIONCAM_CACHE_DIR", str(tmp_path / "cache"))
    converted, convert = [], selection.convert
    monkeypatch.setattr(selection, "convert", lambda *args: converted.append(1) or convert(*args))
    rows = benchmark_rows(data, tmp_path / "run", ["score-cam"], engine="openvino")
    versions = json.loads(rows["versions"][0])

    assert converted
    assert rows["error"].isna().all()
    assert versions["engine"] == "openvino"
    assert versions["openvino"] == version("openvino")
    assert json.loads(benchmark_rows(data, tmp_path / "auto")["versions"][0])["engine"] == "auto"


def test_plans_of_earlier_versions_have_no_engine(data, tmp_path):
    """Their runs continue."""
    rows = benchmark_rows(data, tmp_path / "run")
    path = tmp_path / "run" / "plan.json"
    plan = json.loads(path.read_text())
    assert plan.pop("engine", "missing") is None
    path.write_text(json.dumps(plan))
    pd.testing.assert_frame_equal(benchmark_rows(data, tmp_path / "run"), rows)
