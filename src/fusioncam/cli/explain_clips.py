"""The clips of `fusioncam explain`: an overlay video for each class and method."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from fusioncam.cli.explain_output import ExplanationWriter
from fusioncam.cli.progress import ClipProgressBar
from fusioncam.data.clips import Schedule, has_clip_suffix, pyav
from fusioncam.data.frame_folders import numbered_frames
from fusioncam.errors import FusionCamError, ImageError, SettingError
from fusioncam.explanations.class_selection import choose_targets, requested_top, require_label_per_class
from fusioncam.explanations.clips import mean_probabilities, require_smooth, write_overlay
from fusioncam.explanations.explain import REQUEST_ERRORS, named_methods
from fusioncam.explanations.result_files import distinct_suffixes
from fusioncam.methods.base import Method
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.files import atomic_write
from fusioncam.utils.text import short_label, slug


@dataclass(frozen=True)
class ClipOptions:
    """The options that apply to clips; None where they were not given."""

    every: int | None = None
    fps: float | None = None
    smooth: float | None = None
    gif: bool | None = None

    @property
    def given(self) -> list[str]:
        """The names of the options that were given."""
        return [f"--{name}" for name, value in vars(self).items() if value is not None]

    def folders(self, paths: Sequence[str], *, of_clips: bool) -> list[Path]:
        """Return the folders of numbered frames among the paths, which are clips.

        A network of images (not ``of_clips``) explains their images, unless one of these options is given.
        """
        wanted = list(map(Path, paths)) if of_clips or self.given else []
        return [path for path in wanted if os.access(path, os.R_OK) and path.is_dir() and numbered_frames(path)]

    def split(
        self,
        found: Sequence[Path | ImageError],
        folders: Sequence[Path],
        *,
        check: bool,
        frame: int | None,
        target: str | None,
    ) -> tuple[list[Path | ImageError], list[Path]]:
        """Return the images, and the clips among what was found and the folders of frames.

        A GIF is a clip if one of these options is given.

        Raises :class:`SettingError` if there are clips and an option that does not apply to them, or none and an
        option for clips, and :class:`MissingExtraError` if there are clips and PyAV is not installed.
        """
        given = self.given
        files = [one for one in found if isinstance(one, Path) and has_clip_suffix(one, animations=bool(given))]
        clips = [*files, *folders]
        if given and not clips:
            raise SettingError(
                f"{', '.join(given)} applies only to clips, and there is none: name a clip, a GIF or a folder of "
                "numbered frames"
            )
        if files or (clips and not self.gif):
            pyav()
        if clips:
            self.schedule()
        if clips and (target == "label" or ".csv" in (target or "")):
            raise SettingError(f"--target {target} applies only to images, and {clips[0]} is a clip: name a class")
        if clips and (check or frame is not None):
            raise SettingError(
                f"{'--check' if check else '--frame'} applies only to images, and {clips[0]} is a clip: save the "
                "frame that you mean as an image"
            )
        return [one for one in found if one not in files], clips

    def schedule(self) -> Schedule:
        """Return which frames are explained; raise :class:`SettingError` for bad values of any option."""
        require_smooth(self.smooth or 0.0)
        return Schedule(1 if self.every is None else self.every, self.fps)


@dataclass(frozen=True)
class _Job:
    """A video to write: of one class and one method."""

    target: int
    method: tuple[str, Method]
    suffix: str


def explain_clips(
    clips: Sequence[Path],
    model: ExplainedModel,
    methods: Sequence[str],
    target: str | None,
    options: ClipOptions,
    writer: ExplanationWriter,
) -> None:
    """Write the overlays of all clips; a clip that fails is recorded, and the others are still explained."""
    named = named_methods(model, methods)
    for path in clips:
        try:
            _explain_clip(path, model, named, target, options, writer)
        except REQUEST_ERRORS:
            raise
        except KeyboardInterrupt:
            writer.interrupted = True
            return
        except Exception as error:  # a network or method of the user's may raise anything
            if isinstance(error, FusionCamError):
                error.add_note(f"clip: {path}, model: {model.name}")
            writer.add_failure(path, error)


def _explain_clip(
    path: Path,
    model: ExplainedModel,
    methods: list[tuple[str, Method]],
    target: str | None,
    options: ClipOptions,
    writer: ExplanationWriter,
) -> None:
    schedule, bar = options.schedule(), ClipProgressBar(quiet=writer.quiet)
    limit = None if target is None or requested_top(target) else 1  # a class that is named needs no choice
    with bar.displayed():
        bar.start(f"{path.name}: class")
        probabilities = mean_probabilities(path, model, schedule, limit=limit, on_frame=bar.advance)
        require_label_per_class(model.labels, probabilities.shape[1])
        # a text is always that of classes
        classes = [int(one) for one in choose_targets(target, probabilities, model.labels) if isinstance(one, Tensor)]
        jobs = list(_jobs(model, classes, methods))
        files = writer.clip_files(path, [job.suffix for job in jobs], gif=bool(options.gif))
        for job, file in zip(jobs, files, strict=True):
            bar.start(f"{path.name}: {job.method[0]}")
            with atomic_write(file) as opened:
                facts = write_overlay(
                    path,
                    opened,
                    model,
                    job.method,
                    job.target,
                    schedule,
                    smooth=options.smooth or 0.0,
                    gif=bool(options.gif),
                    on_frame=bar.advance,
                )
            writer.add_clip(facts, file)


def _jobs(model: ExplainedModel, classes: list[int], methods: list[tuple[str, Method]]) -> Iterator[_Job]:
    pairs = [(target, method) for target in classes for method in methods]
    suffixes = distinct_suffixes(
        slug(method[0]) + (f".{slug(_class_name(model, target))}" if len(classes) > 1 else "")
        for target, method in pairs
    )
    return (_Job(target, method, suffix) for (target, method), suffix in zip(pairs, suffixes, strict=True))


def _class_name(model: ExplainedModel, target: int) -> str:
    return short_label(model.labels[target] if model.labels else None, target)
