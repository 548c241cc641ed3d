"""Explain video clips: a heatmap for each chosen frame of a clip, blended over all of its frames.

Networks of images have one frame at a time as their input; those with a :class:`ClipPreprocessing` have several.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusioncam.data.clip_preprocessing import ClipPreprocessing
from fusioncam.data.clips import Clip, Frame, Schedule
from fusioncam.data.frame_folders import FrameFolder, opened_frames
from fusioncam.errors import FlatHeatmapWarning, FusionCamWarning, SettingError
from fusioncam.explanations.class_selection import predict_probabilities, require_label_per_class
from fusioncam.explanations.clip_writer import ClipWriter
from fusioncam.explanations.gif_writer import GifWriter
from fusioncam.explanations.method_output import MethodOutput
from fusioncam.inference.cache import cached_passes, prefetch_layers
from fusioncam.inference.context import following_images, without_flat_warnings
from fusioncam.inference.random_state import kept_random_state
from fusioncam.methods.base import Method, layers_of
from fusioncam.methods.warm_up import warm_up
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.text import short_label
from fusioncam.visualization import overlay_part

# nearly the exact map of Fusion-CAM in a fraction of its time: see benchmarks/README.md
CLIP_METHOD = "fusion-cam(budget=24)"

# called with the number of frames that are finished, and of all frames, 0 if that is not known
OnFrame = Callable[[int, int], object]


def _ignore(done: int, total: int) -> None:
    pass


@dataclass
class ClipFacts:
    """What was computed for one clip, one method and one class, without the pixels.

    ``times`` (seconds from the start) and ``probabilities`` are those of the frames with a heatmap of their own, and
    ``frames`` the number of all frames. ``passes``, ``partial_passes`` and ``seconds`` are those of all heatmaps.
    """

    source: str
    method: str
    model: str
    layer: str
    target: int
    label: str | None
    frames: int = 0
    passes: int = 0
    partial_passes: int = 0
    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)

    @property
    def class_name(self) -> str:
        """The name of the class in tables: the first of its synonyms, or its index."""
        return short_label(self.label, self.target)

    @property
    def probability(self) -> float:
        """The mean probability of the class over the explained frames."""
        return sum(self.probabilities) / len(self.probabilities)

    def facts(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        names = ("method", "layer", "target", "label", "class_name", "probability", "frames")
        costs = {"passes": self.passes, "partial_passes": self.partial_passes, "seconds": round(self.seconds, 4)}
        frames = {
            "times": [round(one, 4) for one in self.times],
            "probabilities": [round(one, 6) for one in self.probabilities],
        }
        return {"clip": self.source} | {name: getattr(self, name) for name in names} | costs | frames


def mean_probabilities(
    path: str | Path,
    model: ExplainedModel,
    schedule: Schedule,
    *,
    limit: int | None = None,
    on_frame: OnFrame = _ignore,
) -> Tensor:
    """Return the mean probability of each class over the frames that the schedule chooses, ``(1, classes)``.

    The class with the highest one is that of the whole clip: the class of single frames would change between them.
    ``limit`` is the largest number of frames.
    """
    total, count = torch.zeros(()), 0
    with opened_frames(path) as clip:
        for frames in _groups(islice(_counted(clip, schedule, on_frame), limit), _depth(model)):
            total = total + len(frames) * predict_probabilities(model, _input(model, frames))
            count += len(frames)
    return total / count


def write_overlay(
    path: str | Path,
    file: IO[bytes],
    model: ExplainedModel,
    method: tuple[str, Method],
    target: int,
    schedule: Schedule,
    *,
    smooth: float = 0.0,
    gif: bool = False,
    on_frame: OnFrame = _ignore,
) -> ClipFacts:
    """Write a video of a clip under the heatmaps of one class into an open file, and return its facts.

    ``path`` is a file, or a folder of numbered frames. The video is H.264 in MP4, or with ``gif`` an animated GIF of
    the frames that have a heatmap of their own.

    ``method`` is a name and a method. Each frame that the ``schedule`` chooses has a heatmap of its own, which stays
    until the next one; a network of clips computes those of several frames at once. ``smooth`` is the share of the
    previous heatmap in each one, from 0 (none) to below 1. The video has the size, the times and the upright position
    of the clip. As many frames are in memory as one input of the network covers.

    Raises :class:`ImageError` for a file that is not a clip, and :class:`SettingError` for a bad ``smooth``.
    """
    require_smooth(smooth)
    explainer = _FrameExplainer(model, method, target, str(path))
    with _readable(path) as clip:
        writer = GifWriter(file, clip) if gif else ClipWriter(file, clip)
        heatmap: NDArray[np.float32] | None = None
        for number, (frame, fresh) in enumerate(_explained(clip, schedule, explainer, _depth(model))):
            if fresh is not None:
                heatmap = fresh if heatmap is None else smooth * heatmap + (1 - smooth) * fresh
            if heatmap is not None and not (gif and fresh is None):  # the first frame is always due
                writer.write(overlay_part(frame.image, heatmap, explainer.box), frame.time)
            on_frame(number + 1, clip.expected_frames)
            explainer.facts.frames = number + 1
        writer.close()
    explainer.warn_about_flat()
    return explainer.facts


def require_smooth(smooth: float) -> None:
    """Raise :class:`SettingError` unless it is from 0 to below 1."""
    if not 0 <= smooth < 1:
        raise SettingError(f"smooth must be from 0 to below 1, got {smooth!r}")


@contextmanager
def _readable(path: str | Path) -> Iterator[Clip | FrameFolder]:
    """Open a clip, and warn at the end if a part of it could not be decoded."""
    with opened_frames(path) as clip:
        yield clip
    if clip.damaged:
        message = (
            f"{path}: the clip is damaged: {clip.damaged} of its packets or frames cannot be read, and are left out"
        )
        warnings.warn(message, FusionCamWarning, stacklevel=2)


def _counted(clip: Clip | FrameFolder, schedule: Schedule, on_frame: OnFrame) -> Iterator[Frame]:
    """Yield the frames to explain, and report all."""
    for number, (frame, is_due) in enumerate(schedule.mark(clip.frames(), clip.unit)):
        if is_due:
            yield frame
        on_frame(number + 1, clip.expected_frames)


def _depth(model: ExplainedModel) -> int:
    """Return how many frames one input has."""
    return model.preprocessing.frames if isinstance(model.preprocessing, ClipPreprocessing) else 1


def _input(model: ExplainedModel, frames: Sequence[Frame]) -> Tensor:
    """Return the input ``(1, C, H, W)`` of a frame, or ``(1, C, T, H, W)`` of several."""
    preprocessing, images = model.preprocessing, [frame.image for frame in frames]
    x = preprocessing.stack(images) if isinstance(preprocessing, ClipPreprocessing) else preprocessing(images[0])
    return x[None].to(model.device)


def _groups(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Yield lists of so many frames; the last one may be shorter."""
    remaining = iter(frames)
    while group := list(islice(remaining, size)):
        yield group


def _explained(
    clip: Clip | FrameFolder, schedule: Schedule, explainer: _FrameExplainer, depth: int
) -> Iterator[tuple[Frame, NDArray[np.float32] | None]]:
    """Yield all frames, and the heatmap of those that have one of their own; ``depth`` are explained at once."""
    waiting: list[tuple[Frame, bool]] = []
    due: list[Frame] = []
    for frame, is_due in schedule.mark(clip.frames(), clip.unit):
        if is_due and len(due) == depth:
            yield from _with_heatmaps(waiting, explainer(due, clip.unit))
            waiting, due = [], []
        waiting.append((frame, is_due))
        due += [frame] * is_due
        if depth == 1:  # later frames need not wait
            yield from _with_heatmaps(waiting, explainer([frame], clip.unit) if is_due else [])
            waiting, due = [], []
    if due:
        yield from _with_heatmaps(waiting, explainer(due, clip.unit))


def _with_heatmaps(
    frames: Iterable[tuple[Frame, bool]], heatmaps: Iterable[NDArray[np.float32]]
) -> Iterator[tuple[Frame, NDArray[np.float32] | None]]:
    own = iter(heatmaps)
    for frame, is_due in frames:
        yield frame, next(own) if is_due else None


class _FrameExplainer:
    """Computes the heatmaps of the frames of one clip, and counts what they cost."""

    def __init__(self, model: ExplainedModel, method: tuple[str, Method], target: int, source: str) -> None:
        self._model, (name, self._method) = model, method
        label = model.labels[target] if model.labels else None
        self.facts = ClipFacts(source, name, model.name, "", target, label)
        self.box = (0.0, 0.0, 0.0, 0.0)
        self._flat = 0
        self._last_scores: dict[Any, Any] = {}

    def __call__(self, frames: Sequence[Frame], unit: Fraction) -> NDArray[np.float32]:
        """Return the heatmaps ``(T, H, W)`` of the frames of one input; ``unit`` is that of times, in seconds."""
        x = _input(self._model, frames)
        if not self.facts.times:
            self._prepare(x, frames[0])
        began = time.perf_counter()
        with (
            kept_random_state(x.device),
            cached_passes(),
            without_flat_warnings(),
            following_images(self._last_scores),
            prefetch_layers(x, layers_of(self._method)),
        ):
            probability = predict_probabilities(self._model, x)[0, self.facts.target].item()
            output = MethodOutput.compute(self._model, x, torch.tensor([self.facts.target]), self._method)
        times = [float(frame.time * unit) for frame in frames]
        self._add(output, probability, times, time.perf_counter() - began)
        heatmaps: NDArray[np.float32] = (output.heatmaps[0] if x.dim() == 5 else output.heatmaps).numpy()
        return heatmaps[: len(frames)]

    def _prepare(self, x: Tensor, frame: Frame) -> None:
        self.box = self._model.preprocessing.visible_box(frame.image.size)
        self._model.runner.warn_if_random(x)
        warm_up(self._model, [self._method], x)
        require_label_per_class(self._model.labels, self._model.logits(x).shape[1])

    def _add(self, output: MethodOutput, probability: float, times: Sequence[float], took: float) -> None:
        facts = self.facts
        facts.layer = output.layer
        facts.passes += output.passes
        facts.partial_passes += output.partial
        facts.seconds += took
        facts.times.extend(times)
        facts.probabilities.extend([probability] * len(times))
        self._flat += len(times) * int(output.heatmaps.amin() == output.heatmaps.amax())

    def warn_about_flat(self) -> None:
        """Warn once about all constant heatmaps of the clip."""
        if self._flat:
            count = f"{self._flat} of {len(self.facts.times)} heatmaps are constant"
            warnings.warn(f"{self.facts.source}: {count}, and so show nothing", FlatHeatmapWarning, stacklevel=3)
