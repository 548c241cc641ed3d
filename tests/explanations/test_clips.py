"""Overlays of clips: which frames have which heatmap, where it is, and what is written."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch

from clips import frames_of, panned, times_of, write_clip
from fusioncam.data.clips import Schedule
from fusioncam.errors import FlatHeatmapWarning, SettingError
from fusioncam.explanations.clips import mean_probabilities, write_overlay
from fusioncam.methods import GradCAM
from fusioncam.visualization import overlay_part
from samples import corners, photo, small


@dataclass(frozen=True, eq=False)
class Growing:
    """Return heatmaps of 0.1 for the first image, 0.2 for the second and so on, which are 0 on the left half."""

    calls: list

    def __call__(self, model, x, target):
        """Return heatmaps."""
        self.calls.append(target.tolist())
        heatmaps = torch.zeros(len(x), *x.shape[2:])
        heatmaps[..., 16:] = min(len(self.calls) / 10, 1)
        return heatmaps


def overlaid(path, tmp_path, method=None, target=1, schedule=None, **settings):
    """Write the overlay of a clip; return its frames and facts."""
    out, calls = tmp_path / "out.mp4", []
    named = ("growing", Growing(calls)) if method is None else ("grad-cam", method)
    with out.open("wb") as file:
        facts = write_overlay(path, file, small(), named, target, schedule or Schedule(), **settings)
    assert calls == ([] if method else [[target]] * len(facts.times))
    return frames_of(out), facts


def redness(frame):
    """Return the red of the part that the heatmap covers, minus that of a frame without colour."""
    return float(frame[:, frame.shape[1] * 5 // 8].mean(0)[0])


def test_the_overlay_has_the_frames_of_the_clip(tmp_path):
    """Size, times and number are the same, and the heatmap lies over the part that the network receives."""
    path = write_clip(tmp_path / "a.mkv", [corners(96, 64)] * 4, times=[0, 50, 400, 450])
    frames, facts = overlaid(path, tmp_path, method=GradCAM())
    heatmap = GradCAM()(small(), small().preprocessing(corners(96, 64))[None], 1)[0].numpy()
    expected = np.asarray(overlay_part(corners(96, 64), heatmap, (16, 0, 80, 64)))

    assert times_of(tmp_path / "out.mp4") == [0, 0.05, 0.4, 0.45]
    assert [frame.shape for frame in frames] == [(64, 96, 3)] * 4
    assert np.abs(frames[0].astype(int) - expected).mean() < 8
    assert np.abs(expected[:, :16].astype(int) - np.asarray(corners(96, 64))[:, :16]).max() == 0
    assert (facts.frames, facts.times, facts.layer, facts.class_name) == (4, [0, 0.05, 0.4, 0.45], "act", "birch")
    assert facts.facts()["probability"] == pytest.approx(facts.probabilities[0], abs=0.01)


def test_odd_sizes_gain_a_row_or_column(tmp_path):
    """H.264 with the usual colours needs even sizes."""
    path = write_clip(tmp_path / "a.avi", panned(2, (51, 33)), codec="mjpeg", pixels="yuvj444p")
    frames, _ = overlaid(path, tmp_path)
    assert [frame.shape for frame in frames] == [(34, 52, 3)] * 2


def test_a_heatmap_stays_until_the_next_one(tmp_path):
    """Frames that are not chosen have the heatmap of the last one that was."""
    path = write_clip(tmp_path / "a.mp4", [photo(size=(64, 64))] * 5)
    frames, facts = overlaid(path, tmp_path, schedule=Schedule(every=2))
    assert facts.times == [0, 0.2, 0.4]
    assert facts.frames == 5
    same = [np.abs(after.astype(int) - before).mean() < 2 for before, after in pairwise(frames)]
    assert same == [True, False, True, False]


def test_smoothing_is_a_mean_over_time(tmp_path, monkeypatch):
    """Each heatmap has its share of the previous one; without the option there is none."""
    seen = []
    monkeypatch.setattr(
        "fusioncam.explanations.clips.overlay_part", lambda image, heatmap, box: seen.append(heatmap.max()) or image
    )
    path = write_clip(tmp_path / "a.mp4", [photo(size=(64, 64))] * 3)
    overlaid(path, tmp_path)
    overlaid(path, tmp_path, smooth=0.5)
    assert seen == pytest.approx([0.1, 0.2, 0.3, 0.1, 0.15, 0.225])
    for wrong in (1, -0.1, float("nan")):
        with pytest.raises(SettingError, match="smooth must be from 0 to below 1"):
            write_overlay(path, io.BytesIO(), small(), ("growing", Growing([])), 1, Schedule(), smooth=wrong)


def test_probabilities_are_those_of_the_chosen_frames(tmp_path):
    """Their mean decides on the class of the clip; a limit is one of chosen frames."""
    path = write_clip(tmp_path / "a.mp4", panned(5))
    model, reported = small(), []
    every = mean_probabilities(path, model, Schedule(every=2), on_frame=lambda *counts: reported.append(counts))
    first = mean_probabilities(path, model, Schedule(), limit=1)
    from fusioncam.data.clips import opened_clip

    with opened_clip(path) as clip:
        inputs = [model.preprocessing(frame.image) for frame in clip.frames()]
    logits = model.logits(torch.stack(inputs))

    assert torch.allclose(every, logits[::2].softmax(1).mean(0, keepdim=True), atol=1e-5)
    assert torch.allclose(first, logits[:1].softmax(1), atol=1e-5)
    assert reported == [(done, 5) for done in (1, 2, 3, 4, 5)]


def test_constant_heatmaps_are_reported_once(tmp_path):
    """Dark frames at the start of a clip are common, and each of them would warn."""

    def flat(model, x, target):
        return torch.zeros(len(x), *x.shape[2:])

    path = write_clip(tmp_path / "a.mp4", panned(3))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write_overlay(path, io.BytesIO(), small(), ("flat", flat), 1, Schedule())
    assert [(one.category, str(one.message)) for one in caught] == [
        (FlatHeatmapWarning, f"{path}: 3 of 3 heatmaps are constant, and so show nothing")
    ]


def test_a_damaged_clip_is_written_with_a_warning(tmp_path):
    """It has the frames that can be decoded."""
    path = write_clip(tmp_path / "a.mkv", panned(30))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 600] = bytes(600)
    path.write_bytes(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frames, facts = overlaid(path, tmp_path)
    assert 0 < len(frames) == facts.frames <= 30
    assert all("the clip is damaged" in str(one.message) for one in caught)


def test_memory_does_not_grow_with_the_clip(tmp_path, monkeypatch):
    """At most two frames exist at a time: the one that is decoded and the one before."""
    import gc
    import weakref

    from fusioncam.data import clips

    living, most, make = weakref.WeakSet(), [], clips.Frame

    def counted(*args):
        frame = make(*args)
        living.add(frame)
        gc.collect()
        most.append(len(living))
        return frame

    monkeypatch.setattr(clips, "Frame", counted)
    overlaid(write_clip(tmp_path / "a.mp4", panned(12)), tmp_path)
    assert max(most) <= 3
