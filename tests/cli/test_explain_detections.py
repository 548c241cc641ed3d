"""`fusioncam explain` for a detector: a heatmap for each box, and all boxes in one overlay."""

from __future__ import annotations

import json

from detectors import confident


def test_each_box_and_one_overlay_are_written(cli, tmp_path):
    """The files name the class of the box, and the facts its corners."""
    confident()[1].save(tmp_path / "street.png")
    (tmp_path / "street_model.py").write_text("from detectors import confident\n\nmodel = lambda: confident()[0]\n")

    ended = cli(
        "explain", "street.png", "--model", "street_model:model", "-m", "layer-cam", "--out", "out", "--no-report"
    )

    assert ended.code == 0, ended.err
    facts = json.loads((tmp_path / "out" / "explanations.json").read_text())["explanations"]
    assert len(facts) >= 2
    assert all(len(one["box"]) == 4 for one in facts)
    assert {"cat", "dog", "bicycle"} >= {one["label"] for one in facts}
    assert (tmp_path / "out" / "street.png").is_file()


def test_missing_checkpoint_is_reported(cli):
    """With what the name stands for, or with the extra where ultralytics is not installed."""
    ended = cli("explain", "street.png", "--model", "ultralytics:best.pt")

    assert ended.code == 2
    assert "best.pt: no such file" in ended.err or 'pip install "fusioncam[ultralytics]"' in ended.err
