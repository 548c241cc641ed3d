"""Benchmarks: what is shared, what a row says, and that a run that was stopped ends as one that was not."""

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
from fusioncam.benchmark.api import benchmark, gathered
from fusioncam.benchmark.evaluator import Evaluator, acquaint
from fusioncam.benchmark.plan import as_plan
from fusioncam.benchmark.run_folder import Heatmaps
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
    """Four small images."""
    return photos(tmp_path / "photos")


def measured(data, out, methods=("grad-cam",), metrics=("average-drop",), **settings):
    """Run a benchmark on the small network, and give its rows."""
    settings = {"models": ["samples:small"], "methods": list(methods), "metrics": list(metrics)} | settings
    return pd.read_parquet(benchmark(data, out=out, **settings))


class Counted(ProgressListener):
    """A listener that keeps what it receives."""

    def __init__(self):
        self.kinds, self.begun, self.seen, self.rows, self.notes = [], [], [], [], []

    def dataset_found(self, data, kind):
        """Keep what the data was taken for."""
        self.kinds.append(kind)

    def started(self, *counts):
        """Keep the counts."""
        self.begun.append(counts)

    def job_started(self, name):
        """Keep the image."""
        self.seen.append(name.split(": ")[-1])

    def rows_finished(self, rows):
        """Keep the rows."""
        self.rows += rows

    def note(self, text):
        """Keep the text."""
        self.notes.append(text)


@dataclass(frozen=True)
class Chosen:
    """Fails on some images, told by their number in a list that a test may change."""

    fails: ClassVar[set[int]] = set()
    asked: ClassVar[list[int]] = []

    def __call__(self, model, x, target):
        """Give random heatmaps, or fail."""
        self.asked.append(len(self.asked))
        if len(self.asked) - 1 in self.fails:
            raise KeyError("weights")
        return torch.rand(len(x), *x.shape[2:])


@pytest.fixture
def chosen():
    """A method of the caller's own that draws random numbers, and fails where it is told to."""
    Chosen.fails, Chosen.asked = set(), []
    return Chosen()


# -- what a row says -------------------------------------------------------------------------------------------


def test_there_is_a_row_for_everything(data, tmp_path):
    """Each image, method and metric has one row, in their order, with baselines, protocol and versions."""
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


def test_values_are_those_of_the_metric(data, tmp_path):
    """What is written is what the library says of the image, for the class that it predicts."""
    rows = measured(data, tmp_path / "run", ["score-cam"], ["insertion(steps=6)"])
    model, ((_, metric),) = samples.small(), as_metrics("insertion(steps=6)")
    for n, row in enumerate(rows[rows["method"] == "score-cam"].itertuples()):
        x = model.preprocessing(painted(n))[None]
        target = model.logits(x).argmax(1)
        value = metric(model, x, target, METHODS["score-cam"](model, x, target))
        assert row.value == pytest.approx(float(value), abs=1e-6)
        assert row.target == int(target)
        assert json.loads(row.protocol) == protocol(metric)


def test_what_is_shared_is_computed_once():
    """The recorded pass, Score-CAM's map and the whole image's score serve all that ask for them."""
    methods = dict(
        one for name in ("grad-cam", "layer-cam", "score-cam", "union-cam", "fusion-cam") for one in as_methods(name)
    )
    metrics = dict(one for name in ("average-drop", "increase", "insertion(steps=4)") for one in as_metrics(name))
    model, sample = samples.small(), Sample("one", painted(1))
    bench = Evaluator(model, "m", methods, metrics, [sample])
    acquaint(model, methods.values())
    with count_passes() as meter:
        rows, heatmaps = bench.measure(sample, {(one, other) for one in methods for other in metrics}, {})

    channels = 6
    ours = 1 + 1 + channels + 4 + 4  # the logits, the record, Score-CAM, and what Union- and Fusion-CAM choose by
    assert meter.passes == ours + 1 + len(methods) * (1 + 5)  # the whole image, each one masked, each one's curve
    assert [row for row in rows if row["error"]] == []
    assert set(heatmaps) == set(methods)
    costs = {row["method"]: row["passes"] for row in rows}
    assert costs == {"grad-cam": 1, "layer-cam": 1, "score-cam": 7, "union-cam": 11, "fusion-cam": 11}


@pytest.mark.parametrize("first", [True, False])
def test_a_methods_cost_is_what_it_takes_alone(data, tmp_path, first):
    """On every image and in any order of methods; what the model finds out once is no image's cost."""
    names = ["ablation-cam", "fusion-cam", "group-cam", "recipro-cam"]
    rows = measured(data, tmp_path / "run", names if first else names[::-1], ["average-drop"], limit=2)
    model = samples.small()
    x = model.preprocessing(painted(0))[None]
    for name in names:
        METHODS[name](model, x, model.logits(x).argmax(1))
    for name in names:
        for n in sorted({int(one[:2]) for one in rows["image"]}):
            x = model.preprocessing(painted(n))[None]
            target = model.logits(x).argmax(1)
            with cached_passes(), count_passes() as meter:
                METHODS[name](model, x, target)
            told = rows[(rows["method"] == name) & (rows["image"] == f"{n:02}.png")].iloc[0]
            assert (told["passes"], told["partial_passes"]) == (meter.passes, meter.partial)


def test_the_limit_draws_a_stable_sample(data, tmp_path):
    """The seed says which images; a larger limit has the same and more."""
    drawn = [{*measured(data, tmp_path / str(n), limit=n, seed=3)["image"]} for n in (1, 2, 3)]

    assert drawn[0] < drawn[1] < drawn[2]


def test_random_numbers_are_of_the_image_and_not_of_the_order(data, tmp_path, chosen):
    """A method that draws gives the same, whatever was drawn before it."""
    alone = measured(data, tmp_path / "a", [chosen], ["average-drop"], limit=1)
    torch.manual_seed(99)  # as another program may have left it
    among = measured(data, tmp_path / "b", ["random", chosen, "grad-cam"], ["average-drop"])
    image = alone["image"][0]

    def value(rows):
        return rows[(rows["image"] == image) & rows["method"].str.startswith("Chosen")]["value"].item()

    assert value(alone) == value(among)
    assert len({*among[among["method"].str.startswith("Chosen")]["value"]}) == 4


# -- targets and truth -----------------------------------------------------------------------------------------


def labelled(label, n=0, **facts):
    """Give a sample of one box."""
    return Sample(f"{n}", painted(n), label, boxes=((0.0, 0.0, 20.0, 36.0),), **facts)


def predicted(n=0):
    """Give the class that the small network predicts."""
    model = samples.small()
    return int(model.logits(model.preprocessing(painted(n))[None]).argmax())


def test_the_truth_counts_where_it_is_of_the_class_that_is_explained(tmp_path):
    """Boxes of another class than the predicted one say nothing of its heatmap."""
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
        "bare has no label: say --target predicted, or leave it out"
    ]


def test_box_accuracy_keeps_what_max_box_acc_is_made_of(tmp_path):
    """What is reached at each threshold, and the value among it; nothing where no box is known."""
    images = [labelled(predicted()), Sample("bare", painted(0))]
    rows = measured(images, tmp_path / "run", ["grad-cam"], ["box-accuracy", "iou"])
    rows = rows.set_index(["image", "metric"])

    known = rows.loc[("0", "box-accuracy")]
    assert known["curve"].map(len).tolist() == [len(THRESHOLDS)] * 4
    assert [curve[20] for curve in known["curve"]] == known["value"].tolist()
    assert rows.loc["bare", "curve"].isna().all()
    assert rows.xs("iou", level="metric")["curve"].isna().all()


def test_metrics_that_need_truth_are_left_out_where_there_is_none(data, tmp_path):
    """With a word about it; alone they are an error."""
    listener = Counted()
    rows = measured(data, tmp_path / "run", metrics=["iou", "average-drop"], listener=listener)
    assert {*rows["metric"]} == {"average-drop"}
    assert listener.notes == ["left out, for no image has boxes or masks: iou"]

    with pytest.raises(MissingTruthError, match="iou, pointing-game need boxes"):
        measured(data, tmp_path / "other", metrics=["iou", "pointing-game"])


def test_it_is_told_what_the_data_is_taken_for(data, tmp_path):
    """A folder of class folders may be taken for plain images, and its labels be lost, without a word."""
    listener = Counted()
    measured(data, tmp_path / "run", metrics=["average-drop"], listener=listener)
    assert listener.kinds == ["a folder of 4 images, classes unknown"]


def test_going_on_with_other_versions_is_told(data, tmp_path):
    """The rows of one run should be of one; nothing is lost where they are not."""
    rows = measured(data, tmp_path / "run", metrics=["average-drop"], limit=2)
    line = tmp_path / "run" / "rows.jsonl"
    before = json.loads(rows["versions"][0])["torch"]
    line.write_text(line.read_text().replace(before, "1.0.0"))

    listener = Counted()
    more = measured(data, tmp_path / "run", metrics=["average-drop"], extend=True, listener=listener)
    assert [one.split(": ", 1)[1] for one in listener.notes] == [
        f"samples:small was measured with others before: torch 1.0.0 -> {before}; the rows say which"
    ]
    assert len(more) == 2 * len(rows)


def test_metrics_that_ask_for_more_heatmaps_are_called_outside_of_sharing(data, tmp_path):
    """They are answered, and of their heatmaps none is remembered."""
    asked = []

    @memoize_pass
    def question():
        asked.append(1)

    @dataclass(frozen=True)
    class Asking:
        family: ClassVar[str] = "sanity"
        higher_is_better: ClassVar[bool] = True
        needs_truth: ClassVar[bool] = False
        needs_method: ClassVar[bool] = True
        shares_objective: ClassVar[tuple[str, ...]] = ()

        def __call__(self, model, x, target, heatmaps, method):
            question()
            return (method(model, x, target) - heatmaps).abs().amax((1, 2))

    rows = measured(data, tmp_path / "run", ["grad-cam"], [Asking(), "passes"], limit=1)
    values = rows.set_index(["method", "metric"])["value"]

    assert (values["grad-cam", "passes"], values["grad-cam", repr(Asking())]) == (1, 0)
    assert len(asked) == 4


def test_games_are_played_in_groups_of_different_classes(tmp_path):
    """Every image has a row; those that no group had room for have no value."""
    images = [Sample(str(n), painted(n), n % 4) for n in range(6)]
    settings = {"metrics": ["grid-pointing-game(side=2, shrink=true)"], "target": "label"}
    rows = measured(images, tmp_path / "run", **settings)

    assert len(rows) == 6 * 4
    assert rows.groupby("image")["value"].count().sort_values().tolist() == [0, 0, 4, 4, 4, 4]
    assert rows.loc[rows["method"] == "ones", "value"].dropna().tolist() == [0.25] * 4
    same(measured(images, tmp_path / "run", **settings), rows)
    assert gathered(tmp_path / "run").rows == 24


def test_a_image_that_fails_is_told_by_games_too(data, tmp_path):
    """Also where nothing else is measured."""
    (data / "bad.png").write_text("no image")
    rows = measured(data, tmp_path / "run", metrics=["grid-pointing-game"])

    assert rows["error"].notna().sum() == 1


# -- going on --------------------------------------------------------------------------------------------------


def test_a_finished_run_is_not_made_again(data, tmp_path):
    """The same command finds nothing to do, and the rows are the same."""
    rows, listener = measured(data, tmp_path / "run"), Counted()
    again = measured(data, tmp_path / "run", listener=listener)

    pd.testing.assert_frame_equal(rows, again)
    assert (listener.begun, listener.seen) == ([(4, 4, 16)], [])


@pytest.mark.parametrize("at", [0, 1, 3])
def test_ctrl_c_keeps_what_is_there(data, tmp_path, at, monkeypatch):
    """What is done stays done, and the run goes on where it was."""
    whole = measured(data, tmp_path / "whole")

    class Stopped(ProgressListener):
        def job_started(self, name):
            if name.endswith(f"{at:02}.png"):
                raise KeyboardInterrupt

    plan = as_plan(data=data, models=["samples:small"], methods=["grad-cam"], metrics=["average-drop"])
    outcome = run(plan, tmp_path / "run", listener=Stopped())
    assert (outcome.interrupted, outcome.rows) == (True, 4 * at)
    assert gathered(tmp_path / "run").rows == 4 * at
    listener = Counted()
    assert run(plan, tmp_path / "run", listener=listener).rows == 16
    assert listener.begun == [(4, at, 4 * at)]
    same(pd.read_parquet(tmp_path / "run" / "rows.parquet"), whole)


def killed(data, out, kills, seed):
    """Kill so many runs where chance says, and check that the next one ends as if nothing had been."""
    words = ("fusion-cam;ablation-cam;is-cam(samples=2)", "average-drop;insertion(steps=8)")
    whole = measured(data, out / "whole", *(one.split(";") for one in words))
    program = [sys.executable, "killed.py", out / "run", kills, seed, data, *words]
    done = subprocess.run(
        list(map(str, program)), cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == kills, done.stderr
    after = pd.read_parquet(
        benchmark(
            data, out=out / "run", models=["samples:small"], methods=words[0].split(";"), metrics=words[1].split(";")
        )
    )

    same(after, whole)
    assert not after.duplicated(["model", "image", "method", "metric"]).any()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_runs_that_are_killed_twenty_times_end_as_others_do(tmp_path):
    """`kill -9` at twenty moments that chance chooses."""
    killed(photos(tmp_path / "photos", 60), tmp_path, 20, seed=1)


def test_a_image_that_fails_is_a_row_and_is_tried_again(data, tmp_path):
    """The run goes on without it; when it is readable, the same command measures it alone."""
    good = (data / "01.png").read_bytes()
    (data / "01.png").write_bytes(good[:100])
    rows = measured(data, tmp_path / "run")
    failed = rows[rows["error"].notna()]
    assert failed[["image", "method", "metric"]].to_numpy().tolist() == [["01.png", "", ""]]
    assert "01.png: damaged or cut off" in failed["error"].item()
    assert len(rows) == 1 + 3 * 4

    (data / "01.png").write_bytes(good)
    listener = Counted()
    again = measured(data, tmp_path / "run", listener=listener)
    assert listener.seen == ["01.png"]
    same(again, measured(data, tmp_path / "other"))


def test_a_method_that_fails_is_a_row_and_spoils_no_other(data, tmp_path, chosen):
    """The image's other methods are measured, and it alone is tried again."""
    Chosen.fails = {1}
    rows = measured(data, tmp_path / "run", [chosen, "grad-cam"])
    failed = rows[rows["error"].notna()]
    assert failed[["image", "metric", "error"]].to_numpy().tolist() == [["01.png", "", "KeyError: 'weights'"]]
    assert rows["value"].notna().sum() == 4 * 5 - 1

    listener = Counted()
    again = measured(data, tmp_path / "run", [chosen, "grad-cam"], listener=listener)
    assert (again["error"].notna().sum(), len(again), len(listener.rows)) == (0, 20, 1)


def test_a_metric_that_fails_is_a_row_and_spoils_no_other(data, tmp_path):
    """So does one whose value is no number that can be kept."""

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
    assert errors[repr(Bad())] == "the metric gave infinity"
    assert errors[repr(Bad(0))] == "ZeroDivisionError: division by zero"
    assert pd.isna(errors[repr(Bad(torch.nan))])


def test_a_network_that_fails_is_told_of_every_image(data, tmp_path):
    """Whatever the user's code raises is a row."""
    rows = measured(data, tmp_path / "run", models=["samples:small", "samples:nan"])

    assert rows.groupby("model")["error"].count().to_dict() == {"samples:nan": 4, "samples:small": 0}
    assert {*rows["error"].dropna()} == {"the network gave NaN or infinity among its scores"}


# -- another plan ----------------------------------------------------------------------------------------------


def test_a_changed_plan_is_refused_with_the_difference(data, tmp_path):
    """Rows of two plans in one folder would be a table of neither."""
    rows = measured(data, tmp_path / "run")
    with pytest.raises(ResultsError) as refused:
        measured(data, tmp_path / "run", ["layer-cam"], seed=1)

    assert str(refused.value) == (
        f"{tmp_path / 'run'} has rows of another plan: choose another folder\n"
        "  method: + layer-cam, - grad-cam\n  seed: 0 -> 1"
    )
    pd.testing.assert_frame_equal(measured(data, tmp_path / "run"), rows)


def test_a_plan_without_rows_binds_nobody(data, tmp_path):
    """Whoever mistyped something may correct it."""
    (data / "run").mkdir()
    with pytest.raises(SettingError, match="samples:smal returned no model"):
        measured(data, tmp_path / "run", models=["samples:smal"])
    assert len(measured(data, tmp_path / "run")) == 16


def test_a_plan_that_was_stopped_before_its_first_row_binds_nobody(data, tmp_path):
    """Its file is there, and says what no row is of."""

    class Stopped(ProgressListener):
        def job_started(self, name):
            raise KeyboardInterrupt

    plan = as_plan(data=data, models=["samples:small"], methods=["layer-cam"], metrics=["increase"])
    assert run(plan, tmp_path / "run", listener=Stopped()).interrupted
    assert (tmp_path / "run" / "plan.json").exists()
    assert len(measured(data, tmp_path / "run")) == 16


def test_rows_without_a_plan_are_nobodys(data, tmp_path):
    """What they are of is not known."""
    measured(data, tmp_path / "run")
    (tmp_path / "run" / "plan.json").unlink()
    with pytest.raises(ResultsError, match=r"has rows and no plan\.json"):
        measured(data, tmp_path / "run")
    with pytest.raises(ResultsError, match="is no folder of a benchmark"):
        gathered(tmp_path / "run")


def test_a_run_is_extended_by_what_is_new(data, tmp_path):
    """Only the new is computed, and the rows are those of a run that had it from the start."""
    small = {"limit": 2}
    measured(data, tmp_path / "run", ["grad-cam"], ["average-drop"], **small)
    wanted = (["grad-cam", "layer-cam"], ["average-drop", "insertion(steps=4)"])
    with pytest.raises(ResultsError, match="say --extend to compute only what is new"):
        measured(data, tmp_path / "run", *wanted)
    listener = Counted()
    rows = measured(data, tmp_path / "run", *wanted, extend=True, listener=listener)

    same(rows, measured(data, tmp_path / "whole", *wanted))
    assert len(listener.rows) == 40 - 8
    assert (rows.groupby(["image", "method"])["seconds"].nunique() == 1).all()
    with pytest.raises(ResultsError, match="of another plan: choose"):
        measured(data, tmp_path / "run", ["grad-cam"], ["average-drop"], extend=True, **small)


def test_kept_heatmaps_serve_a_new_metric(data, tmp_path, chosen):
    """No method runs again, --extend need not be said, and values are those of a run that had the metric at once."""
    methods, both = [chosen, "score-cam", "score-cam:official"], ["average-drop", "insertion(steps=4)"]
    first = measured(data, tmp_path / "run", methods, both[:1], keep_heatmaps=True)
    asked, listener = len(Chosen.asked), Counted()
    rows = measured(data, tmp_path / "run", methods, both, keep_heatmaps=True, listener=listener)

    assert (len(Chosen.asked), len(listener.rows)) == (asked, 4 * 6)
    same(rows, measured(data, tmp_path / "whole", methods, both))
    times = rows.groupby(["image", "method"])["seconds"].nunique()
    assert (times == 1).all()
    assert first["seconds"].tolist() == rows.loc[rows["metric"] == "average-drop", "seconds"].tolist()


def test_heatmaps_of_a_new_method_lie_beside_the_old(data, tmp_path):
    """A run that is extended keeps all of them."""
    measured(data, tmp_path / "run", keep_heatmaps=True)
    measured(data, tmp_path / "run", ["grad-cam", "layer-cam"], keep_heatmaps=True, extend=True)

    kept = Heatmaps(tmp_path / "run" / "heatmaps").load("samples:small", "00.png")
    assert {*kept} == {"grad-cam", "layer-cam", *BASELINES}


def test_a_lost_heatmap_is_made_again(data, tmp_path):
    """So is one whose file is damaged."""
    measured(data, tmp_path / "run", keep_heatmaps=True)
    files = sorted((tmp_path / "run" / "heatmaps").rglob("*.safetensors"))
    assert len(files) == 4
    files[0].unlink()
    files[1].write_bytes(b"damaged")
    rows = measured(data, tmp_path / "run", metrics=["average-drop", "insertion(steps=4)"], keep_heatmaps=True)

    same(rows, measured(data, tmp_path / "whole", metrics=["average-drop", "insertion(steps=4)"]))
    assert len(list((tmp_path / "run" / "heatmaps").rglob("*.safetensors"))) == 4


def test_heatmaps_are_kept_as_they_were(tmp_path):
    """To the last bit, by method, under names that no other image has."""
    store, maps = Heatmaps(tmp_path), {"fuse(rule=mean)": torch.rand(3, 4), "b/c": torch.rand(1, 5).expand(2, 5)}
    store.save("a:b", "x/y", maps)
    store.save("a_b", "x_y", {})

    assert store.load("a:b", "x/y").keys() == maps.keys()
    assert all(torch.equal(one, maps[name]) for name, one in store.load("a:b", "x/y").items())
    assert store.load("a_b", "x_y") == store.load("a", "b") == {}
    store.save("m", "long" * 100, {})


# -- folders ---------------------------------------------------------------------------------------------------


def test_two_runs_in_one_folder_are_refused(data, tmp_path):
    """The second is told; when the first is gone, its lock is too."""
    with (
        folder_lock(tmp_path / "run"),
        pytest.raises(OutputError, match=f"another run \\(process {os.getpid()}\\) is writing"),
    ):
        measured(data, tmp_path / "run")
    assert len(measured(data, tmp_path / "run")) == 16
    assert len(measured(data, tmp_path / "run")) == 16


def test_a_folder_that_cannot_be_is_told(data, tmp_path):
    """A file is no folder."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot write into"):
        measured(data, tmp_path / "file")


def test_a_full_disk_stops_the_run_and_not_what_was_written(data, tmp_path):
    """The error is clear, rows stay readable, and with room the run goes on."""
    resource = pytest.importorskip("resource")
    whole = measured(data, tmp_path / "whole")
    line = (tmp_path / "whole" / "rows.jsonl").stat().st_size // 4
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(2.5 * line), before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*rows\.jsonl: File too large. .* goes on"):
            measured(data, tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert gathered(tmp_path / "run").rows == 8
    same(measured(data, tmp_path / "run"), whole)


def test_images_of_one_name_are_refused(tmp_path):
    """Rows could not tell them apart."""
    with pytest.raises(ResultsError, match="1 names stand for several images, such as a"):
        measured([Sample("a", painted(0)), Sample("a", painted(1)), Sample("b", painted(2))], tmp_path / "run")


# -- from Python -----------------------------------------------------------------------------------------------


def test_own_objects_are_welcome(tmp_path):
    """Networks, models, methods and metrics of the caller's own, and samples in memory."""
    images = [Sample(str(n), painted(n)) for n in range(2)]
    model = samples.explained(samples.Small())
    ((_, metric),) = as_metrics("insertion(steps=3)")
    rows = measured(images, tmp_path / "run", [GradCAM(layer="conv"), GradCAM()], [metric], models=[model])

    assert {*rows["model"]} == {"sample"}
    assert {*rows["method"]} == {"GradCAM(layer='conv')", "grad-cam", *BASELINES}
    assert rows["value"].notna().all()
    assert isinstance(model, ExplainedModel)


def test_a_plain_function_is_a_metric_and_a_method(data, tmp_path):
    """It says nothing of itself, and more is taken for better."""

    def brightness(model, x, target, heatmaps):
        return heatmaps.mean((1, 2))

    def half(model, x, target):
        return torch.full((len(x), *x.shape[2:]), 0.5)

    rows = measured(data, tmp_path / "run", [half], [brightness], limit=1)
    assert rows.set_index("method")["value"].round(6)[["half", "ones"]].tolist() == [0.5, 1.0]
    assert {*rows["metric"]} == {"brightness"}
    assert rows["higher_is_better"].all()


def test_several_models_have_rows_each(data, tmp_path):
    """In the order of the plan."""
    rows = measured(data, tmp_path / "run", models=["samples:alike", "samples:small"], layer="conv", limit=1)

    assert rows["model"].tolist() == ["samples:alike"] * 4 + ["samples:small"] * 4
    assert {*rows["layer"]} == {"conv"}


def test_a_layer_that_is_not_there_is_told_before_anything_is_done(data, tmp_path):
    """It would fail on every image."""
    with pytest.raises(ValueError, match=r"has no layer 'cnv'; did you mean 'conv'"):
        measured(data, tmp_path / "run", ["grad-cam(layer=cnv)"])
    assert not (tmp_path / "run" / "rows.jsonl").exists()


def test_errors_are_told_in_a_line():
    """Ours as they are, others with their kind."""
    assert describe_error(ResultsError("no rows")) == "no rows"
    assert describe_error(KeyError("a")) == "KeyError: 'a'"
