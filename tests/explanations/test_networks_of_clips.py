"""Networks that take several frames at once: each frame has the part of the heatmap that belongs to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from clips import frames_of, write_clip
from fusioncam import METHODS, ClipPreprocessing, ExplainedModel, VolumePreprocessing, explain
from fusioncam.data.clips import Schedule, opened_clip
from fusioncam.errors import SettingError
from fusioncam.explanations import clips
from fusioncam.explanations.clips import mean_probabilities, write_overlay

SIZE = (32, 32)


class Red(nn.Module):
    """It finds more red than blue, and halves time and both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 2, 2, 2)
        self.conv.bias.data.zero_()
        self.conv.weight.data[:] = torch.tensor([0.2, 0, -0.2]).reshape(1, 3, 1, 1, 1)
        self.head = nn.Linear(2, 3)
        self.head.bias.data.zero_()
        self.head.weight.data[:] = torch.tensor([[-1.0], [2.0], [0.0]])

    def forward(self, x):
        """Return scores ``(N, 3)`` of clips ``(N, 3, T, H, W)``."""
        return self.head(self.conv(x).relu().mean((2, 3, 4)))


def model_of(frames=4):
    """Return the model of a network that takes so many frames at once."""
    preprocessing = ClipPreprocessing(SIZE, SIZE, mean=(0.5,) * 3, std=(0.5,) * 3, frames=frames)
    return ExplainedModel(Red(), preprocessing=preprocessing)


def square(place, size=SIZE):
    """Return a blue frame with a red square at a place (row, column), or without one."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[..., 2] = 255
    if place is not None:
        pixels[place[0] : place[0] + 8, place[1] : place[1] + 8] = (255, 0, 0)
    return Image.fromarray(pixels)


def explained(path, tmp_path, monkeypatch, model=None, method="layer-cam", **schedule):
    """Return the heatmap that each frame is shown with, and the facts."""
    shown = []
    monkeypatch.setattr(clips, "overlay_part", lambda image, heatmap, box: shown.append(heatmap) or image)
    with (tmp_path / "out.mp4").open("wb") as file:
        facts = write_overlay(path, file, model or model_of(), (method, METHODS[method]), 1, Schedule(**schedule))
    assert len(frames_of(tmp_path / "out.mp4")) == len(shown) == facts.frames
    return shown, facts


def test_the_heatmap_follows_an_object_through_frames(tmp_path, monkeypatch):
    """It appears in the third frame, and is in another corner from the fifth one on."""
    places = [None, None, (0, 0), (0, 0), (24, 16), (24, 16)]
    path = write_clip(tmp_path / "a.mkv", map(square, places), codec="ffv1", pixels="bgr0")
    heatmaps, facts = explained(path, tmp_path, monkeypatch, model_of(6))
    assert len(facts.times) == 6
    for heatmap, place in zip(heatmaps, places, strict=True):
        assert heatmap.shape == SIZE
        if place is not None:
            inside = heatmap[place[0] : place[0] + 8, place[1] : place[1] + 8].mean()
            assert inside > 0.6
            assert heatmap.mean() < inside / 4
    assert heatmaps[0].mean() < heatmaps[2].mean() / 4


@pytest.mark.parametrize("every", [1, 2])
def test_heatmaps_are_those_of_the_method(tmp_path, monkeypatch, every):
    """Of groups of four chosen frames; the last frame is repeated where a group is shorter."""
    path = write_clip(tmp_path / "a.mkv", [square((0, 3 * n)) for n in range(7)], codec="ffv1", pixels="bgr0")
    model = model_of()
    heatmaps, facts = explained(path, tmp_path, monkeypatch, every=every)
    with opened_clip(path) as clip:
        chosen = [model.preprocessing.stack([frame.image])[:, 0] for frame in clip.frames()][::every]
    groups = [chosen[start : start + 4] for start in range(0, len(chosen), 4)]
    inputs = [torch.stack([*group, *[group[-1]] * (4 - len(group))], 1)[None] for group in groups]
    expected = [METHODS["layer-cam"](model, x, 1)[0][: len(group)] for x, group in zip(inputs, groups, strict=True)]
    for number, heatmap in enumerate(heatmaps):
        np.testing.assert_allclose(heatmap, torch.cat(expected)[number // every], atol=1e-6)

    probabilities = [model.logits(x).softmax(1)[0] for x in inputs]
    by_frame = torch.stack([one for one, group in zip(probabilities, groups, strict=True) for _ in group])
    assert facts.probabilities == pytest.approx(by_frame[:, 1].tolist())
    assert facts.times == pytest.approx([n / 10 for n in range(0, 7, every)])
    mean = mean_probabilities(path, model, Schedule(every=every))
    torch.testing.assert_close(mean, by_frame.mean(0, keepdim=True))


def test_settings_of_torchvision():
    """Those of a network of clips are read, except for the number of frames."""
    from torchvision.models.video import R3D_18_Weights

    preprocessing = ClipPreprocessing.of(R3D_18_Weights.DEFAULT.transforms())
    assert (preprocessing.size, preprocessing.frames) == ((112, 112), 16)
    assert preprocessing.blank_input().shape == (1, 3, 16, 112, 112)
    with pytest.raises(SettingError, match="frames must be"):
        ClipPreprocessing(frames=0)


def test_images_and_clips_are_not_mistaken_for_each_other(tmp_path):
    """Each error says what the network takes, or which preprocessing it needs."""
    with pytest.raises(SettingError, match="takes several frames at once, not images: name a clip"):
        explain(square(None), model=model_of(), method="layer-cam")
    volumes = ExplainedModel(Red(), preprocessing=VolumePreprocessing(mean=(0.0,) * 3, std=(1.0,) * 3))
    path = write_clip(tmp_path / "a.mp4", [square(None)] * 2)
    with pytest.raises(SettingError, match=r"for a network of clips pass .*ClipPreprocessing"):
        mean_probabilities(path, volumes, Schedule())


@pytest.mark.slow
def test_a_video_network_of_torchvision(tmp_path, monkeypatch):
    """By a region method, with random weights."""
    from torchvision.models.video import r3d_18

    torch.manual_seed(0)
    preprocessing = ClipPreprocessing((48, 48), (48, 48), frames=8)
    model = ExplainedModel(r3d_18(num_classes=4).eval(), "layer3", preprocessing=preprocessing)
    path = write_clip(tmp_path / "a.mp4", [square((0, 2 * n), (64, 96)) for n in range(10)])
    heatmaps, facts = explained(path, tmp_path, monkeypatch, model, "score-cam(budget=8)")
    assert (len(heatmaps), facts.layer, len(facts.times)) == (10, "layer3", 10)
    assert all(heatmap.shape == (48, 48) for heatmap in heatmaps)
    assert np.ptp(heatmaps[0]) > 0.01
