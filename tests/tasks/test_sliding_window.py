"""Large inputs are explained window by window."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fusioncam import METHODS, METRICS, ExplainedModel, VolumePreprocessing, explain
from fusioncam.errors import SettingError, ShapeError
from fusioncam.functional.windows import blended, part_of, windows_of
from fusioncam.tasks import Segmentation, SlidingWindow
from scans import Spot

SPOT = (..., slice(8, 12), slice(1, 5), slice(8, 12))
WEAK = (..., slice(1, 3), slice(10, 12), slice(1, 3))


class Limited(nn.Module):
    """The spot network, which refuses inputs that are larger than a window."""

    def __init__(self, side: int = 8) -> None:
        super().__init__()
        self.spot, self.side, self.seen = Spot(), side, 0

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 2)``."""
        assert max(x.shape[2:]) <= self.side, "out of memory"
        self.seen = max(self.seen, len(x))
        return self.spot(x)


@pytest.fixture
def x():
    """A volume of 14 voxels a side with a bright spot near a corner, and a weak one at the opposite corner."""
    volume = torch.zeros(1, 1, 14, 14, 14)
    volume[SPOT] = 1
    volume[WEAK] = 0.1
    return volume


def model(**settings):
    """Return a model that sees windows of eight voxels a side."""
    return ExplainedModel(SlidingWindow(Limited(), (8, 8, 8), **settings))


@pytest.mark.parametrize("method", ["grad-cam", "score-cam", "fusion-cam", "recipro-cam", "rise(masks=60)"])
def test_the_spot_is_found_without_a_pass_of_the_whole(method, x):
    """Each pass has the size of a window."""
    heatmap = METHODS[method](model(), x, 1)[0]
    inside = heatmap[SPOT]
    assert heatmap.shape == x.shape[2:]
    assert (heatmap.min(), heatmap.max()) == (0, 1)
    assert inside.mean() > 4 * heatmap.mean()
    assert inside.mean() > 4 * heatmap[WEAK].mean()


def test_a_moved_spot_moves_the_heatmap(x):
    """It is highest in the same voxels of the object."""
    moved = METHODS["grad-cam"](model(), x.roll((-5, 4), (2, 3)), 1)[0]
    assert moved.roll((5, -4), (0, 1))[SPOT].mean() > 4 * moved.mean()


def test_one_window_is_the_network_itself(x):
    """An input of the size of a window is explained as without."""
    window = x[..., 5:13, :8, 6:14]
    plain = ExplainedModel(Limited(), "spot.conv")
    torch.testing.assert_close(METHODS["grad-cam"](model(), window, 1), METHODS["grad-cam"](plain, window, 1))
    torch.testing.assert_close(model().logits(window), plain.logits(window))


def test_scores_are_those_of_the_windows(x):
    """The highest or the mean of each class."""
    rows = torch.stack([Limited()(part_of(x, window)) for window in windows_of((14,) * 3, (8,) * 3, 0.25)])
    torch.testing.assert_close(model().logits(x), rows.amax(0).detach())
    torch.testing.assert_close(model(reduce="mean").logits(x), rows.mean(0).detach())


def test_a_segmentation_network_is_explained_before_its_answer(x):
    """As without windows."""
    network = nn.Sequential(nn.Conv3d(1, 4, 3, 2, 1), nn.ReLU(), nn.Conv3d(4, 2, 1), nn.Upsample(scale_factor=2))
    alone = ExplainedModel(Segmentation(network)).layer_for(x[..., :8, :8, :8])
    assert ExplainedModel(SlidingWindow(Segmentation(network), (8, 8, 8))).layer_for(x) == f"wrapped.{alone}"
    assert alone != "wrapped"


def test_a_batch_equals_single_inputs(x):
    """Each heatmap is rescaled by itself."""
    batch = torch.cat([x, x.flip(2)])
    both = METHODS["score-cam"](model(), batch, torch.tensor([1, 1]))
    torch.testing.assert_close(both[1:], METHODS["score-cam"](model(), batch[1:], 1))


def test_files_metrics_and_cards(x):
    """`explain` needs no other setting; metrics score the whole input."""
    scanned = ExplainedModel(model().network, preprocessing=VolumePreprocessing(scale=(0, 1)))
    explanation = explain(x[0, 0].numpy(), model=scanned, method="grad-cam", target=1)
    assert explanation.layer == "wrapped.spot.conv"
    assert explanation.check().level
    values = METRICS["average-drop"](scanned, x, 1, explanation.heatmap[None])
    assert 0 <= values.item() <= 100


def test_windows_cover_everything():
    """Blended maps of ones are ones, whatever the sizes."""
    for sides, size, overlap in (((7, 5), (3, 9), 0.5), ((10,), (4,), 0), ((6, 6, 6), (6, 5, 1), 0.25)):
        windows = windows_of(sides, size, overlap)
        maps = [torch.ones(2, *(part.stop - part.start for part in window)) for window in windows]
        torch.testing.assert_close(blended(maps, windows, sides), torch.ones(2, *sides))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": (0, 8)}, "size must be the sides of the window"),
        ({"size": (8,), "overlap": 1}, "overlap must be from 0 to below 1, got 1"),
        ({"size": (8,), "reduce": "sum"}, "unknown reduce 'sum'"),
    ],
)
def test_bad_settings_are_reported(settings, message):
    """When the wrapper is created."""
    with pytest.raises(ValueError, match=message):
        SlidingWindow(Spot(), **settings)


def test_another_rank_is_reported(x):
    """The window has as many sides as the input."""
    with pytest.raises(ShapeError, match=r"a window \(8, 8\) needs as many sides"):
        METHODS["grad-cam"](ExplainedModel(SlidingWindow(Spot(), (8, 8))), x, 1)
    assert issubclass(SettingError, ValueError)
