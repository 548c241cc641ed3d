"""Test benchmarks: rows, shared computations, continued and extended runs, and failures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
import torch

import samples
from fusioncam import METHODS, ExplainedModel, cached_passes
from fusioncam.benchmark.api import benchmark, collect_results
from fusioncam.benchmark.evaluator import Evaluator, warm_up
from fusioncam.benchmark.plan import as_plan
from fusioncam.benchmark.run_folder import HeatmapStore
from fusioncam.benchmark.runner import run
from fusioncam.data.datasets.sample import Sample
from fusioncam.distributed.progress import ProgressListener
from fusioncam.errors import MissingTruthError, OutputError, ResultsError, SettingError, describe_error
from fusioncam.functional.boxes import THRESHOLDS
from fusioncam.inference.cache import memoize_pass
from fusioncam.inference.costs import count_passes
from fusioncam.methods.gradient import GradCAM
from fusioncam.methods.registry import as_methods
from fusioncam.metrics.base import protocol
from fusioncam.metrics.registry import as_metrics
from fusioncam.utils.files import folder_lock
from runs import same
from samples import painted, photos

BASELINES = ["ones", "center", "random"]


@pytest.fixture
def data(tmp_path):
    """Return a folder of four small images."""
    return photos(tmp_path / "photos")


def measured(data, out, methods=("grad-cam",), metrics=("average-drop",), **settings):
    """Run a benchmark on the small network, and return its rows."""
    settings = {"models": ["samples:small"], "methods": list(methods), "metrics": list(metrics)} | settings
    return pd.read_parquet(benchmark(data, out=out, **settings))


class Recorder(ProgressListener):
    """A listener that keeps what it receives."""

    def __init__(self):
        self.kinds, self.counts, self.jobs, self.rows, self.notes = [], [], [], [], []

    def dataset_found(self, data, kind):
        """Keep the kind of the data set."""
        self.kinds.append(kind)

    def started(self, *counts):
        """Keep the counts."""
        self.counts.append(counts)

    def job_started(self, name):
        """Keep the image."""
        self.jobs.append(name.split(": ")[-1])

    def rows_finished(self, rows):
        """Keep the rows."""
        self.rows += rows

    def note(self, text):
        """Keep the text."""
        self.notes.append(text)


@dataclass(frozen=True)
class Unreliable:
    """A method that returns random heatmaps and fails in some calls, whose numbers a test may set."""

    fails: ClassVar[set[int]] = set()
    calls: ClassVar[list[int]] = []

    def __call__(self, model, x, target):
        """Return random heatmaps, or fail."""
        self.calls.append(len(self.calls))
        if len(self.calls) - 1 in self.fails:
            raise KeyError("weights")
        return torch.rand(len(x), *x.shape[2:])


@pytest.fixture
def unreliable():
    """Return a method of the user's own that draws random numbers, and fails where a test wants it to."""
    Unreliable.fails, Unreliable.calls = set(), []
    return Unreliable()


# -- rows ------------------------------------------------------------------------------------------------------


def test_there_is_a_row_for_everything(data, tmp_path):
    """Each image, method and metric has one row, in the order of the plan, with baselines, protocol and versions."""
    rows = measured(data, tmp_path / "run", ["fusion-cam", "grad-cam"], ["insertion(steps=4)", "average-drop"])

    expected = [
        (f"0{n}.png", method, metric)
        for n in range(4)
        for method in ["fusion-cam", "grad-cam", *BASELINES]
        for metric in ["insertion(steps=4)", "average-drop"]
    ]
    assert list(rows[["image", "method", "metric"]].itertuples(index=False, name=None)) == expected
    assert {*rows["model"]} == {"samples:small"}
    assert {*rows["layer"]} == {"act"}
    assert rows["error"].isna().all()
    assert rows["versions"].str.contains('"torch": "').all()
    drops = rows[rows["metric"] == "average-drop"]
    assert drops.groupby("method")["shares_objective"].all().to_dict() == {
        **dict.fromkeys(["grad-cam", *BASELINES], False),
        "fusion-cam": True,
    }
    assert not drops["higher_is_better"].any()
    assert drops.loc[drops["method"] == "ones", "value"].abs().max() < 1e-6
    assert (rows.loc[rows["metric"] != "average-drop", "curve"].map(len) == 5).all()
    assert drops["curve"].isna().all()


def test_values_are_those_of_a_direct_call(data, tmp_path):
    """A stored value is what the metric returns for the image and the predicted class."""
    rows = measured(data, tmp_path / "run", ["score-cam"], ["insertion(steps=6)"])
    model, ((_, metric),) = samples.small(), as_metrics("insertion(steps=6)")
    for n, row in enumerate(rows[rows["method"] == "score-cam"].itertuples()):
        x = model.preprocessing(painted(n))[None]
        target = model.logits(x).argmax(1)
        value = metric(model, x, target, METHODS["score-cam"](model, x, target))
        assert row.value == pytest.approx(float(value), abs=1e-6)
        assert row.target == int(target)
        assert json.loads(row.protocol) == protocol(metric)


def test_shared_results_are_computed_once():
    """The recorded pass, Score-CAM's heatmap and the score of the whole image are computed only once."""
    methods = dict(
        pair
        for name in ("grad-cam", "layer-cam", "score-cam", "union-cam", "fusion-cam")
        for pair in as_methods(name)
    )
    metrics = dict(pair for name in ("average-drop", "increase", "insertion(steps=4)") for pair in as_metrics(name))
    model, sample = samples.small(), Sample("one", painted(1))
    evaluator = Evaluator(model, "m", methods, metrics, [sample])
    warm_up(model, methods.values())
    with count_passes() as counter:
        rows, heatmaps = evaluator.measure(sample, {(method, metric) for method in methods for metric in metrics}, {})

    channels = 6
    # the logits, the recorded pass, Score-CAM, and the selections of Union-CAM and Fusion-CAM
    methods_passes = 1 + 1 + channels + 4 + 4
    assert counter.passes == methods_passes + 1 + len(methods) * (
        1 + 5
    )  # the whole image, each one masked, each one's curve
    assert [row for row in rows if row["error"]] == []
    assert set(heatmaps) == set(methods)
    costs = {row["method"]: row["passes"] for row in rows}
    assert costs == {"grad-cam": 1, "layer-cam": 1, "score-cam": 7, "union-cam": 11, "fusion-cam": 11}


@pytest.mark.parametrize("first", [True, False])
def test_a_methods_cost_is_that_of_running_it_alone(data, tmp_path, first):
    """The cost holds for every image and order of methods; one-time searches are not part of it."""
    names = ["ablation-cam", "fusion-cam", "group-cam", "recipro-cam"]
    rows = measured(data, tmp_path / "run", names if first else names[::-1], ["average-drop"], limit=2)
    model = samples.small()
    x = model.preprocessing(painted(0))[None]
    for name in names:
        METHODS[name](model, x, model.logits(x).argmax(1))
    for name in names:
        for n in sorted({int(name[:2]) for name in rows["image"]}):
            x = model.preprocessing(painted(n))[None]
            target = model.logits(x).argmax(1)
            with cached_passes(), count_passes() as counter:
                METHODS[name](model, x, target)
            row = rows[(rows["method"] == name) & (rows["image"] == f"{n:02}.png")].iloc[0]
            assert (row["passes"], row["partial_passes"]) == (counter.passes, counter.partial)


def test_the_limit_draws_a_stable_sample(data, tmp_path):
    """The seed selects the images; a larger limit keeps those of a smaller one."""
    drawn = [{*measured(data, tmp_path / str(n), limit=n, seed=3)["image"]} for n in (1, 2, 3)]

    assert drawn[0] < drawn[1] < drawn[2]


def test_random_numbers_do_not_depend_on_the_order(data, tmp_path, unreliable):
    """A random method returns the same heatmap whatever was drawn before."""
    alone = measured(data, tmp_path / "a", [unreliable], ["average-drop"], limit=1)
    torch.manual_seed(99)  # as another program may have set it
    together = measured(data, tmp_path / "b", ["random", unreliable, "grad-cam"], ["average-drop"])
    image = alone["image"][0]

    def value(rows):
        return rows[(rows["image"] == image) & rows["method"].str.startswith("Unreliable")]["value"].item()

    assert value(alone) == value(together)
    assert len({*together[together["method"].str.startswith("Unreliable")]["value"]}) == 4


# -- targets and truth -----------------------------------------------------------------------------------------


def labelled(label, n=0, **facts):
    """Return a sample with one box."""
    return Sample(f"{n}", painted(n), label, boxes=((0.0, 0.0, 20.0, 36.0),), **facts)


def predicted(n=0):
    """Return the class that the small network predicts."""
    model = samples.small()
    return int(model.logits(model.preprocessing(painted(n))[None]).argmax())


def test_the_truth_is_used_only_for_its_own_class(tmp_path):
    """Boxes of another class than the predicted one are not used for its heatmap."""
    right, wrong = predicted(), (predicted() + 1) % 5
    images = [
        labelled(right),
        Sample("wrong", painted(0), wrong, boxes=((0.0, 0.0, 20.0, 36.0),)),
        Sample("bare", painted(1)),
    ]
    rows = measured(images, tmp_path / "a", ["grad-cam"], ["pointing-game"])
    assert rows.groupby("image")["value"].count().to_dict() == {"0": 4, "wrong": 0, "bare": 0}
    assert rows["error"].isna().all()

    rows = measured(images, tmp_path / "b", ["grad-cam"], ["pointing-game"], target="label")
    assert rows.groupby("image")["value"].count().to_dict() == {"0": 4, "wrong": 4, "bare": 0}
    assert rows.set_index("image").loc["wrong", "target"].unique().tolist() == [wrong]
    assert rows[rows["image"] == "bare"]["error"].tolist() == [
        "bare has no label: use --target predicted, or leave the image out"
    ]


def test_box_accuracy_stores_its_curve_for_max_box_acc(tmp_path):
    """The curve has the accuracy at each threshold, including the value; there is none without a box."""
    images = [labelled(predicted()), Sample("bare", painted(0))]
    rows = measured(images, tmp_path / "run", ["grad-cam"], ["box-accuracy", "iou"])
    rows = rows.set_index(["image", "metric"])

    known = rows.loc[("0", "box-accuracy")]
    assert known["curve"].map(len).tolist() == [len(THRESHOLDS)] * 4
    assert [curve[20] for curve in known["curve"]] == known["value"].tolist()
    assert rows.loc["bare", "curve"].isna().all()
    assert rows.xs("iou", level="metric")["curve"].isna().all()


def test_metrics_that_need_truth_are_left_out_without_it(data, tmp_path):
    """A note names them; if no other metric is left, it is an error."""
    listener = Recorder()
    rows = measured(data, tmp_path / "run", metrics=["iou", "average-drop"], listener=listener)
    assert {*rows["metric"]} == {"average-drop"}
    assert listener.notes == ["left out, because no image has boxes or masks: iou"]

    with pytest.raises(MissingTruthError, match="iou, pointing-game need boxes"):
        measured(data, tmp_path / "other", metrics=["iou", "pointing-game"])


def test_the_kind_of_the_data_set_is_reported(data, tmp_path):
    """The user can notice that class folders were read as plain images without labels."""
    listener = Recorder()
    measured(data, tmp_path / "run", metrics=["average-drop"], listener=listener)
    assert listener.kinds == ["a folder of 4 images, classes unknown"]


def test_continuing_with_other_versions_is_reported(data, tmp_path):
    """A warning names the changed versions, and the rows are kept."""
    rows = measured(data, tmp_path / "run", metrics=["average-drop"], limit=2)
    line = tmp_path / "run" / "rows.jsonl"
    before = json.loads(rows["versions"][0])["torch"]
    line.write_text(line.read_text().replace(before, "1.0.0"))

    listener = Recorder()
    more = measured(data, tmp_path / "run", metrics=["average-drop"], extend=True, listener=listener)
    assert [note.split(": ", 1)[1] for note in listener.notes] == [
        f"samples:small was measured with other versions before: torch 1.0.0 -> {before}; each row has its own"
    ]
    assert len(more) == 2 * len(rows)


def test_metrics_that_call_the_method_run_without_the_cache(data, tmp_path):
    """They get their heatmaps, none of which is cached."""
    calls = []

    @memoize_pass
    def counted_call():
        calls.append(1)

    @dataclass(frozen=True)
    class NeedsMethod:
        family: ClassVar[str] = "sanity"
        higher_is_better: ClassVar[bool] = True
        needs_truth: ClassVar[bool] = False
        needs_method: ClassVar[bool] = True
        shares_objective: ClassVar[tuple[str, ...]] = ()

        def __call__(self, model, x, target, heatmaps, method):
            counted_call()
            return (method(model, x, target) - heatmaps).abs().amax((1, 2))

    rows = measured(data, tmp_path / "run", ["grad-cam"], [NeedsMethod(), "passes"], limit=1)
    values = rows.set_index(["method", "metric"])["value"]

    assert (values["grad-cam", "passes"], values["grad-cam", repr(NeedsMethod())]) == (1, 0)
    assert len(calls) == 4


def test_multi_image_metrics_use_groups_of_different_classes(tmp_path):
    """Every image has a row; images left over from the groups have no value."""
    images = [Sample(str(n), painted(n), n % 4) for n in range(6)]
    settings = {"metrics": ["grid-pointing-game(side=2, shrink=true)"], "target": "label"}
    rows = measured(images, tmp_path / "run", **settings)

    assert len(rows) == 6 * 4
    assert rows.groupby("image")["value"].count().sort_values().tolist() == [0, 0, 4, 4, 4, 4]
    assert rows.loc[rows["method"] == "ones", "value"].dropna().tolist() == [0.25] * 4
    same(measured(images, tmp_path / "run", **settings), rows)
    assert collect_results(tmp_path / "run").rows == 24


def test_a_failed_image_is_reported_by_multi_image_metrics(data, tmp_path):
    """The error has a row even if nothing else is measured."""
    (data / "bad.png").write_text("no image")
    rows = measured(data, tmp_path / "run", metrics=["grid-pointing-game"])

    assert rows["error"].notna().sum() == 1


# -- continued runs --------------------------------------------------------------------------------------------


def test_a_finished_run_is_not_repeated(data, tmp_path):
    """The same call runs no job, and the rows are the same."""
    rows, listener = measured(data, tmp_path / "run"), Recorder()
    again = measured(data, tmp_path / "run", listener=listener)

    pd.testing.assert_frame_equal(rows, again)
    assert (listener.counts, listener.jobs) == ([(4, 4, 16)], [])


@pytest.mark.parametrize("at", [0, 1, 3])
def test_ctrl_c_keeps_the_finished_images(data, tmp_path, at, monkeypatch):
    """Finished images stay finished, and the next run continues."""
    whole = measured(data, tmp_path / "whole")

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
    whole = measured(data, out / "whole", *(spec.split(";") for spec in specs))
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
def test_a_run_killed_twenty_times_has_the_same_rows(tmp_path):
    """The run survives `kill -9` at twenty random moments."""
    killed(photos(tmp_path / "photos", 60), tmp_path, 20, seed=1)


def test_a_failed_image_is_a_row_and_is_tried_again(data, tmp_path):
    """The run continues without it; once it is readable, the same call measures only this image."""
    good = (data / "01.png").read_bytes()
    (data / "01.png").write_bytes(good[:100])
    rows = measured(data, tmp_path / "run")
    failed = rows[rows["error"].notna()]
    assert failed[["image", "method", "metric"]].to_numpy().tolist() == [["01.png", "", ""]]
    assert "01.png: damaged or truncated" in failed["error"].item()
    assert len(rows) == 1 + 3 * 4

    (data / "01.png").write_bytes(good)
    listener = Recorder()
    again = measured(data, tmp_path / "run", listener=listener)
    assert listener.jobs == ["01.png"]
    same(again, measured(data, tmp_path / "other"))


def test_a_failed_method_is_a_row_and_affects_no_other(data, tmp_path, unreliable):
    """The image's other methods are measured, and only the failed one is tried again."""
    Unreliable.fails = {1}
    rows = measured(data, tmp_path / "run", [unreliable, "grad-cam"])
    failed = rows[rows["error"].notna()]
    assert failed[["image", "metric", "error"]].to_numpy().tolist() == [["01.png", "", "KeyError: 'weights'"]]
    assert rows["value"].notna().sum() == 4 * 5 - 1

    listener = Recorder()
    again = measured(data, tmp_path / "run", [unreliable, "grad-cam"], listener=listener)
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

    rows = measured(data, tmp_path / "run", metrics=["average-drop", Bad(), Bad(0), Bad(torch.nan)], limit=1)
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
    rows = measured(data, tmp_path / "run", models=["samples:small", "samples:nan"])

    assert rows.groupby("model")["error"].count().to_dict() == {"samples:nan": 4, "samples:small": 0}
    assert {*rows["error"].dropna()} == {"the network returned NaN or infinity among its scores"}


# -- changed plans ---------------------------------------------------------------------------------------------


def test_a_changed_plan_is_rejected_with_the_differences(data, tmp_path):
    """The rows of the first plan are kept."""
    rows = measured(data, tmp_path / "run")
    with pytest.raises(ResultsError) as caught:
        measured(data, tmp_path / "run", ["layer-cam"], seed=1)

    assert str(caught.value) == (
        f"{tmp_path / 'run'} has rows of another plan: choose another folder\n"
        "  method: + layer-cam, - grad-cam\n  seed: 0 -> 1"
    )
    pd.testing.assert_frame_equal(measured(data, tmp_path / "run"), rows)


def test_a_failed_plan_can_be_corrected(data, tmp_path):
    """A folder without rows accepts another plan after a mistyped one."""
    (data / "run").mkdir()
    with pytest.raises(SettingError, match="samples:smal returned no model"):
        measured(data, tmp_path / "run", models=["samples:smal"])
    assert len(measured(data, tmp_path / "run")) == 16


def test_a_plan_stopped_before_its_first_row_can_be_replaced(data, tmp_path):
    """A stored plan without rows does not prevent another plan."""

    class Stopped(ProgressListener):
        def job_started(self, name):
            raise KeyboardInterrupt

    plan = as_plan(data=data, models=["samples:small"], methods=["layer-cam"], metrics=["increase"])
    assert run(plan, tmp_path / "run", listener=Stopped()).interrupted
    assert (tmp_path / "run" / "plan.json").exists()
    assert len(measured(data, tmp_path / "run")) == 16


def test_rows_without_a_plan_are_rejected(data, tmp_path):
    """Without the plan the rows cannot be interpreted."""
    measured(data, tmp_path / "run")
    (tmp_path / "run" / "plan.json").unlink()
    with pytest.raises(ResultsError, match=r"has rows but no plan\.json"):
        measured(data, tmp_path / "run")
    with pytest.raises(ResultsError, match="is not the folder of a benchmark"):
        collect_results(tmp_path / "run")


def test_extending_a_run_computes_only_what_is_new(data, tmp_path):
    """The rows equal those of a run that had the larger plan from the start."""
    small = {"limit": 2}
    measured(data, tmp_path / "run", ["grad-cam"], ["average-drop"], **small)
    wanted = (["grad-cam", "layer-cam"], ["average-drop", "insertion(steps=4)"])
    with pytest.raises(ResultsError, match="use --extend to compute only what is new"):
        measured(data, tmp_path / "run", *wanted)
    listener = Recorder()
    rows = measured(data, tmp_path / "run", *wanted, extend=True, listener=listener)

    same(rows, measured(data, tmp_path / "whole", *wanted))
    assert len(listener.rows) == 40 - 8
    assert (rows.groupby(["image", "method"])["seconds"].nunique() == 1).all()
    with pytest.raises(ResultsError, match="of another plan: choose"):
        measured(data, tmp_path / "run", ["grad-cam"], ["average-drop"], extend=True, **small)


def test_stored_heatmaps_are_used_for_a_new_metric(data, tmp_path, unreliable):
    """No method runs again, ``extend`` is not needed, and values equal those of a run with both metrics."""
    methods, both = [unreliable, "score-cam", "score-cam:official"], ["average-drop", "insertion(steps=4)"]
    first = measured(data, tmp_path / "run", methods, both[:1], keep_heatmaps=True)
    calls, listener = len(Unreliable.calls), Recorder()
    rows = measured(data, tmp_path / "run", methods, both, keep_heatmaps=True, listener=listener)

    assert (len(Unreliable.calls), len(listener.rows)) == (calls, 4 * 6)
    same(rows, measured(data, tmp_path / "whole", methods, both))
    times = rows.groupby(["image", "method"])["seconds"].nunique()
    assert (times == 1).all()
    assert first["seconds"].tolist() == rows.loc[rows["metric"] == "average-drop", "seconds"].tolist()


def test_heatmaps_of_a_new_method_are_added(data, tmp_path):
    """An extended run keeps the heatmaps of earlier methods."""
    measured(data, tmp_path / "run", keep_heatmaps=True)
    measured(data, tmp_path / "run", ["grad-cam", "layer-cam"], keep_heatmaps=True, extend=True)

    stored = HeatmapStore(tmp_path / "run" / "heatmaps").load("samples:small", "00.png")
    assert {*stored} == {"grad-cam", "layer-cam", *BASELINES}


def test_a_missing_heatmap_is_computed_again(data, tmp_path):
    """So is a heatmap whose file is damaged."""
    measured(data, tmp_path / "run", keep_heatmaps=True)
    files = sorted((tmp_path / "run" / "heatmaps").rglob("*.safetensors"))
    assert len(files) == 4
    files[0].unlink()
    files[1].write_bytes(b"damaged")
    rows = measured(data, tmp_path / "run", metrics=["average-drop", "insertion(steps=4)"], keep_heatmaps=True)

    same(rows, measured(data, tmp_path / "whole", metrics=["average-drop", "insertion(steps=4)"]))
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


# -- folders ---------------------------------------------------------------------------------------------------


def test_two_runs_in_one_folder_are_rejected(data, tmp_path):
    """The second run is an error until the first has ended."""
    with (
        folder_lock(tmp_path / "run"),
        pytest.raises(OutputError, match=f"another run \\(process {os.getpid()}\\) is writing"),
    ):
        measured(data, tmp_path / "run")
    assert len(measured(data, tmp_path / "run")) == 16
    assert len(measured(data, tmp_path / "run")) == 16


def test_a_folder_that_cannot_be_created_is_reported(data, tmp_path):
    """The path is that of a file."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot write into"):
        measured(data, tmp_path / "file")


def test_a_full_disk_stops_the_run_and_keeps_its_rows(data, tmp_path):
    """Rows stay readable, and the run continues once there is space."""
    resource = pytest.importorskip("resource")
    whole = measured(data, tmp_path / "whole")
    line = (tmp_path / "whole" / "rows.jsonl").stat().st_size // 4
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(2.5 * line), before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*rows\.jsonl: File too large. .* continues"):
            measured(data, tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert collect_results(tmp_path / "run").rows == 8
    same(measured(data, tmp_path / "run"), whole)


def test_images_with_the_same_name_are_rejected(tmp_path):
    """Rows identify images by name."""
    with pytest.raises(ResultsError, match=r"names of images must be unique.* 1 are used several times, such as a"):
        measured([Sample("a", painted(0)), Sample("a", painted(1)), Sample("b", painted(2))], tmp_path / "run")


# -- Python objects --------------------------------------------------------------------------------------------


def test_own_objects_are_accepted(tmp_path):
    """Models, methods, metrics and samples may be objects of the caller."""
    images = [Sample(str(n), painted(n)) for n in range(2)]
    model = samples.explained(samples.Small())
    ((_, metric),) = as_metrics("insertion(steps=3)")
    rows = measured(images, tmp_path / "run", [GradCAM(layer="conv"), GradCAM()], [metric], models=[model])

    assert {*rows["model"]} == {"sample"}
    assert {*rows["method"]} == {"GradCAM(layer='conv')", "grad-cam", *BASELINES}
    assert rows["value"].notna().all()
    assert isinstance(model, ExplainedModel)


def test_a_plain_function_is_a_metric_and_a_method(data, tmp_path):
    """A function without attributes is a metric for which higher is better."""

    def brightness(model, x, target, heatmaps):
        return heatmaps.mean((1, 2))

    def half(model, x, target):
        return torch.full((len(x), *x.shape[2:]), 0.5)

    rows = measured(data, tmp_path / "run", [half], [brightness], limit=1)
    assert rows.set_index("method")["value"].round(6)[["half", "ones"]].tolist() == [0.5, 1.0]
    assert {*rows["metric"]} == {"brightness"}
    assert rows["higher_is_better"].all()


def test_each_model_has_rows(data, tmp_path):
    """Rows are in the order of the plan."""
    rows = measured(data, tmp_path / "run", models=["samples:alike", "samples:small"], layer="conv", limit=1)

    assert rows["model"].tolist() == ["samples:alike"] * 4 + ["samples:small"] * 4
    assert {*rows["layer"]} == {"conv"}


def test_a_missing_layer_is_reported_before_the_run(data, tmp_path):
    """It would otherwise fail on every image."""
    with pytest.raises(ValueError, match=r"has no layer 'cnv'; did you mean 'conv'"):
        measured(data, tmp_path / "run", ["grad-cam(layer=cnv)"])
    assert not (tmp_path / "run" / "rows.jsonl").exists()


def test_errors_are_described_in_one_line():
    """Errors of the library have no type, others do."""
    assert describe_error(ResultsError("no rows")) == "no rows"
    assert describe_error(KeyError("a")) == "KeyError: 'a'"
