"""Preprocessing of clips for networks that take several frames at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import torch
from PIL import Image
from torch import Tensor

from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import SettingError, require_count


@dataclass(frozen=True)
class ClipPreprocessing(Preprocessing):
    """Preprocess each frame as :class:`Preprocessing` does, and stack ``frames`` of them: ``(C, T, H, W)``.

    It is that of networks of clips, such as ``torchvision.models.video``: each input has that many of the chosen
    frames of a clip. ``ClipPreprocessing.of(weights.transforms())`` reads the other settings.

    Args:
        size: as for :class:`Preprocessing`.
        resize: as for :class:`Preprocessing`.
        interpolation: as for :class:`Preprocessing`.
        mean: as for :class:`Preprocessing`.
        std: as for :class:`Preprocessing`.
        frames: the number of frames of an input, T.

    Raises:
        SettingError: for bad settings.

    Examples:
        ```python
        model = fc.ExplainedModel(video_network, preprocessing=fc.ClipPreprocessing((32, 32), 32, frames=8))
        heatmaps = fc.METHODS["grad-cam"](model, clips, target)  # clips (N, 3, 8, 32, 32) -> (N, 8, 32, 32)
        ```
    """

    frames: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("frames", self.frames)

    def blank_input(self) -> Tensor:
        """Return an input ``(1, C, T, H, W)`` of zeros, for what depends only on the shape."""
        return torch.zeros(1, self.channels, self.frames, *self.size)

    def stack(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the input ``(C, T, H, W)`` of frames; the last one is repeated where they are too few."""
        repeated = [*images, *[images[-1]] * (self.frames - len(images))]
        return torch.stack([super(ClipPreprocessing, self).__call__(image) for image in repeated], 1)

    def __call__(self, image: object) -> NoReturn:
        """Raise :class:`SettingError`: an image is no clip."""
        raise SettingError(
            "the network takes several frames at once, not images: name a clip, such as clip.mp4, or a folder of "
            "numbered frames"
        )
