"""Clips from folders of frames, and overlays as GIF: the frames, times and heatmaps are those of videos."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import nn

from fusioncam import METHODS, ClipPreprocessing, ExplainedModel
from fusioncam.data.clips import Schedule
from fusioncam.errors import FusionCamWarning
from fusioncam.explanations.clips import mean_probabilities, write_overlay
from fusioncam.explanations.gif_writer import GifWriter
from fusioncam.visualization import overlay_part
from samples import photo, small


class _Clip:
    def __init__(self, rate):
        self.rate, self.unit = Fraction(rate), Fraction(1, 1000)


def frames_of(path):
    """Return the frames of a GIF and how long each is shown, in ms."""
    with Image.open(path) as image:
        assert image.format == "GIF"
        frames = [(frame.convert("RGB"), frame.info["duration"]) for frame in ImageSequence.Iterator(image)]
        return [np.asarray(one) for one, _ in frames], [duration for _, duration in frames]


def folder_of(path: Path, images) -> Path:
    """Write images as numbered frames."""
    path.mkdir()
    for number, image in enumerate(images, 8):
        image.save(path / f"frame_{number}.png")
    return path


def overlaid(source, path, model, method="layer-cam", every=1):
    """Write the overlay of class 1 as a GIF; return its frames, their durations, and the facts."""
    with path.open("wb") as file:
        facts = write_overlay(source, file, model, (method, METHODS[method]), 1, Schedule(every), gif=True)
    return *frames_of(path), facts


def test_a_gif_has_the_times_of_the_clip(tmp_path):
    """In hundredths of a second, without frames that browsers would slow down; it repeats for ever."""
    path = tmp_path / "a.gif"
    with path.open("wb") as file:
        writer = GifWriter(file, _Clip(10))
        for number, time in enumerate((0, 33, 67, 70, 500)):
            writer.write(Image.new("RGB", (5, 4), (50 * number, 0, 0)), time)
        writer.close()
    frames, durations = frames_of(path)
    assert [frame[0, 0, 0] for frame in frames] == [0, 50, 100, 200]
    assert durations == [30, 40, 430, 430]
    with Image.open(path) as image:
        assert image.info["loop"] == 0


def test_one_frame_is_a_gif(tmp_path):
    """It is shown as long as one of the clip."""
    with (tmp_path / "a.gif").open("wb") as file:
        writer = GifWriter(file, _Clip(5))
        writer.write(photo(size=(64, 48)), 0)
        writer.close()
    ((frame,), durations) = frames_of(tmp_path / "a.gif")
    assert durations == [200]
    assert np.abs(frame.astype(int) - np.asarray(photo(size=(64, 48)))).mean() < 4


def test_a_network_of_images_explains_a_folder_of_frames(tmp_path):
    """Each chosen frame has its heatmap; a GIF has the chosen frames only."""
    images = [photo(size=(64, 64)).rotate(15 * number) for number in range(5)]
    source, model = folder_of(tmp_path / "frames", images), small()
    frames, durations, facts = overlaid(source, tmp_path / "a.gif", model, every=2)
    assert (facts.frames, facts.times, durations) == (5, [0, 0.08, 0.16], [80, 80, 80])
    for image, frame in zip(images[::2], frames, strict=True):
        heatmap = METHODS["layer-cam"](model, model.preprocessing(image)[None], 1)[0].numpy()
        expected = np.asarray(overlay_part(image, heatmap, (0, 0, 64, 64)))
        assert np.abs(frame.astype(int) - expected).mean() < 6
    probabilities = model.logits(torch.stack([model.preprocessing(image) for image in images[::2]])).softmax(1)
    torch.testing.assert_close(mean_probabilities(source, model, Schedule(2)), probabilities.mean(0, keepdim=True))


class Motion(nn.Module):
    """It scores what becomes brighter from one frame to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 2, (2, 1, 1), bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([-1.0, 1.0]).reshape(1, 1, 2, 1, 1).expand(2, 3, 2, 1, 1))
        self.head = nn.Linear(2, 2)

    def forward(self, x):
        """Return scores ``(N, 2)`` of clips ``(N, 3, T, H, W)``."""
        return self.head(nn.functional.pad(self.conv(x).relu(), (0, 0, 0, 0, 1, 0)).mean((2, 3, 4)))


def test_a_network_of_clips_explains_a_folder_of_frames(tmp_path):
    """The heat is where the square has moved to, in each frame: their order is that of their numbers."""
    images = [Image.new("RGB", (32, 32)) for _ in range(4)]
    for number, image in enumerate(images):
        image.paste((255, 255, 255), (8 * number, 12, 8 * number + 8, 20))
    network = Motion()
    network.head.weight.data[1] = 1
    preprocessing = ClipPreprocessing((32, 32), (32, 32), mean=(0.0,) * 3, std=(1.0,) * 3, frames=4)
    model = ExplainedModel(network, "conv", preprocessing=preprocessing)
    frames, _, facts = overlaid(folder_of(tmp_path / "frames", images), tmp_path / "a.gif", model)
    assert len(frames) == len(facts.times) == 4
    hot = [frame[..., 0].astype(int) - frame[..., 2] > 60 for frame in frames]
    for number in (2, 3):
        rows, columns = np.nonzero(hot[number])
        assert abs(rows.mean() - 15.5) < 2
        assert abs(columns.mean() - (8 * number + 3.5)) < 4


def test_frames_that_cannot_be_read_are_left_out_with_a_warning(tmp_path):
    """As damaged parts of videos are."""
    source = folder_of(tmp_path / "frames", [photo(size=(64, 64))] * 3)
    (source / "frame_9.png").write_bytes(b"nothing")
    with pytest.warns(FusionCamWarning, match="1 of its packets or frames cannot be read"):
        frames, durations, _ = overlaid(source, tmp_path / "a.gif", small())
    assert len(frames) == 2
    assert durations == [80, 80]
