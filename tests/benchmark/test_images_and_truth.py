"""Test how a benchmark uses images, their truth, and groups of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import tifffile

import samples
from benchmark_runs import Recorder, benchmark_rows
from fusioncam.benchmark.api import collect_results
from fusioncam.data.datasets.sample import Sample
from fusioncam.data.images import open_with_channels
from fusioncam.errors import ImageError, MissingTruthError
from fusioncam.functional.boxes import THRESHOLDS
from fusioncam.inference.cache import memoize_pass
from runs import same
from samples import painted


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
    rows = benchmark_rows(images, tmp_path / "a", ["grad-cam"], ["pointing-game"])
    assert rows.groupby("image")["value"].count().to_dict() == {"0": 4, "wrong": 0, "bare": 0}
    assert rows["error"].isna().all()

    rows = benchmark_rows(images, tmp_path / "b", ["grad-cam"], ["pointing-game"], target="label")
    assert rows.groupby("image")["value"].count().to_dict() == {"0": 4, "wrong": 4, "bare": 0}
    assert rows.set_index("image").loc["wrong", "target"].unique().tolist() == [wrong]
    assert rows[rows["image"] == "bare"]["error"].tolist() == [
        "bare has no label: use --target predicted, or leave the image out"
    ]


def test_images_of_six_bands_are_measured(tmp_path):
    """From a file, an array and a function, with the boxes that are annotated in them."""
    pixels = np.random.default_rng(0).integers(0, 256, (36, 40, 6), np.uint8)
    tifffile.imwrite(tmp_path / "scene.tif", pixels, photometric="minisblack", planarconfig="contig")
    model = samples.six_bands()
    target = int(model.logits(model.preprocessing(open_with_channels(pixels, 6))[None]).argmax())
    images = [
        Sample(str(n), image, target, boxes=((0.0, 0.0, 20.0, 36.0),))
        for n, image in enumerate((tmp_path / "scene.tif", pixels, lambda: pixels))
    ]

    rows = benchmark_rows(images, tmp_path / "run", ["grad-cam"], ["energy-in-box"], models=["samples:six_bands"])

    assert rows["error"].isna().all()
    values = rows[(rows["metric"] == "energy-in-box") & (rows["method"] == "grad-cam")]
    assert values["target"].tolist() == [target] * 3
    assert values["value"].tolist() == [values["value"].iloc[0]] * 3
    with pytest.raises(ImageError, match="takes 6 channels"):
        Sample("rgb", painted(0)).open(6)


def test_box_accuracy_stores_its_curve_for_max_box_acc(tmp_path):
    """The curve has the accuracy at each threshold, including the value; there is none without a box."""
    images = [labelled(predicted()), Sample("bare", painted(0))]
    rows = benchmark_rows(images, tmp_path / "run", ["grad-cam"], ["box-accuracy", "iou"])
    rows = rows.set_index(["image", "metric"]).sort_index()

    known = rows.loc[("0", "box-accuracy")]
    assert known["curve"].map(len).tolist() == [len(THRESHOLDS)] * 4
    assert [curve[20] for curve in known["curve"]] == known["value"].tolist()
    assert rows.loc["bare", "curve"].isna().all()
    assert rows.xs("iou", level="metric")["curve"].isna().all()


def test_metrics_that_need_truth_are_left_out_without_it(data, tmp_path):
    """A note names them; if no other metric is left, it is an error."""
    listener = Recorder()
    rows = benchmark_rows(data, tmp_path / "run", metrics=["iou", "average-drop"], listener=listener)
    assert {*rows["metric"]} == {"average-drop"}
    assert listener.notes == ["left out, because no image has boxes or masks: iou"]

    with pytest.raises(MissingTruthError, match="iou, pointing-game need boxes"):
        benchmark_rows(data, tmp_path / "other", metrics=["iou", "pointing-game"])


def test_the_kind_of_the_data_set_is_reported(data, tmp_path):
    """The user can notice that class folders were read as plain images without labels."""
    listener = Recorder()
    benchmark_rows(data, tmp_path / "run", metrics=["average-drop"], listener=listener)
    assert listener.kinds == ["a folder of 4 images, classes unknown"]


def test_continuing_with_other_versions_is_reported(data, tmp_path):
    """A warning names the changed versions, and the rows are kept."""
    rows = benchmark_rows(data, tmp_path / "run", metrics=["average-drop"], limit=2)
    line = tmp_path / "run" / "rows.jsonl"
    before = json.loads(rows["versions"][0])["torch"]
    line.write_text(line.read_text().replace(before, "1.0.0"))

    listener = Recorder()
    more = benchmark_rows(data, tmp_path / "run", metrics=["average-drop"], extend=True, listener=listener)
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

    rows = benchmark_rows(data, tmp_path / "run", ["grad-cam"], [NeedsMethod(), "passes"], limit=1)
    values = rows.set_index(["method", "metric"])["value"]

    assert (values["grad-cam", "passes"], values["grad-cam", repr(NeedsMethod())]) == (1, 0)
    assert len(calls) == 4


def test_multi_image_metrics_use_groups_of_different_classes(tmp_path):
    """Every image has a row; images left over from the groups have no value."""
    images = [Sample(str(n), painted(n), n % 4) for n in range(6)]
    settings = {"metrics": ["grid-pointing-game(side=2, shrink=true)"], "target": "label"}
    rows = benchmark_rows(images, tmp_path / "run", **settings)

    assert len(rows) == 6 * 4
    assert rows.groupby("image")["value"].count().sort_values().tolist() == [0, 0, 4, 4, 4, 4]
    assert rows.loc[rows["method"] == "ones", "value"].dropna().tolist() == [0.25] * 4
    same(benchmark_rows(images, tmp_path / "run", **settings), rows)
    assert collect_results(tmp_path / "run").rows == 24


def test_a_failed_image_is_reported_by_multi_image_metrics(data, tmp_path):
    """The error has a row even if nothing else is measured."""
    (data / "bad.png").write_text("no image")
    rows = benchmark_rows(data, tmp_path / "run", metrics=["grid-pointing-game"])

    assert rows["error"].notna().sum() == 1
