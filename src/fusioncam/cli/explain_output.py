"""The output of `fusioncam explain`: files are written as explanations arrive, a summary is printed at the end.

Only facts stay in memory, so that a run may have any number of images.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fusioncam.cli.explain_tables import clips_table, heatmaps_table, trust_cards
from fusioncam.cli.interruption import finishing
from fusioncam.cli.output import duration, failure_message, print_json, print_note, print_table
from fusioncam.cli.progress import LONG, ExplainProgressBar
from fusioncam.data.images import ImageLike
from fusioncam.distributed.progress import PlannedTime
from fusioncam.errors import ImageError, describe_error
from fusioncam.explanations.clips import ClipFacts
from fusioncam.explanations.comparison import Comparison
from fusioncam.explanations.explanation import Explanation, run_facts
from fusioncam.explanations.items import name_of
from fusioncam.explanations.result_files import RUN_FACTS, RunFiles, distinct_suffixes, entry_files
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.files import atomic_write, remove_abandoned, to_json, writable_folder, write_file
from fusioncam.utils.text import bare_stem, file_stem, slug
from fusioncam.visualization import as_png

_VIEW, _POSTER = ".input.jpg", ".poster.png"
_FACTS_BYTES = 200_000  # up to this size explanations.json is written after each image
_PAUSE = 10  # times what writing takes, between two writes of a larger one


class ExplanationWriter:
    """Writes explanations to the folder ``out`` and prints their summary.

    It replaces results of earlier runs there, but never one of the ``inputs`` of this run or another file.
    ``network`` are the options that chose the network.
    """

    def __init__(
        self,
        out: Path,
        inputs: Iterable[object] = (),
        *,
        quiet: bool = False,
        as_json: bool = False,
        style: Mapping[str, Any] | None = None,
        raw: Sequence[str] = (),
        poster: bool = False,
        network: Sequence[str] = (),
    ) -> None:
        self.out = writable_folder(out)
        remove_abandoned(out)
        self.files = RunFiles(out, [one for one in inputs if isinstance(one, Path)])
        self.quiet, self.json = quiet, as_json
        self.style, self.raw, self.poster = dict(style or {}), raw, poster
        self.network = network
        self.facts: list[dict[str, Any]] = []
        self.clips: list[dict[str, Any]] = []
        self.failures: list[dict[str, str]] = []
        self.interrupted = False
        self._about_run: dict[str, Any] = {}
        self._next_facts = 0.0  # the time from which the facts are written again

    # -- during the run -----------------------------------------------------------------------------------

    @contextmanager
    def progress(
        self,
        images: Iterable[Path | ImageError],
        plan: Callable[[int], PlannedTime | None] = lambda images: None,
    ) -> Iterator[Iterator[Path]]:
        """Show a progress bar while the block runs, and yield the images that were found.

        The errors of the others are recorded as failures. ``plan`` returns how long a number of images takes, which
        is announced before the first one. Ctrl-C ends the block and sets ``interrupted``.
        """
        listed = list(images)
        errors = [str(one) for one in listed if isinstance(one, ImageError)]
        self.failures += [{"image": error.split(": ")[0], "error": error} for error in errors]
        found = [one for one in listed if isinstance(one, Path)]
        bar = ExplainProgressBar(quiet=self.quiet)
        bar.started(len(found))
        try:
            with bar.displayed():
                yield _announced(found, bar, plan)
        except KeyboardInterrupt:
            self.interrupted = True

    @contextmanager
    def facts_on_failure(self, model: ExplainedModel) -> Iterator[None]:
        """Write ``explanations.json`` after each image of the block, and also if the block fails.

        The next run thereby finds what this one wrote, however it ends.
        """
        self._about_run = run_facts(model.name, model.preprocessing)
        try:
            yield
        except BaseException:
            if self.facts or self.clips:
                self.write_facts(model)
                self.files.all_listed()
            raise

    def save(self, images: Iterable[list[Explanation]]) -> None:
        """Save the explanations of each image, and if there are several, a figure of all side by side."""
        for explanations in images:
            with finishing():
                self._save_image(explanations)
                self._write_facts_so_far()

    def _save_image(self, explanations: list[Explanation]) -> None:
        stem, names = self._new_names(explanations)
        view = self._save_view(stem, explanations[0])
        saved = [
            one.save_heatmap(self.out, name, self.raw, **self.style)
            for one, name in zip(explanations, names, strict=True)
        ]
        common = [self._save_comparison(stem, explanations)] if len(explanations) > 1 else []
        for one, paths in zip(explanations, saved, strict=True):
            *raw, overlay, heatmap = [path.name for path in paths]
            files = {"files": [*common, overlay, heatmap], "view": view} | ({"raw": raw} if raw else {})
            files |= {"poster": self._save_poster(Path(overlay).stem, one)} if self.poster else {}
            self.facts.append(one.facts() | files)
            common = []

    def clip_files(self, clip: Path, suffixes: Sequence[str], *, gif: bool = False) -> list[Path]:
        """Return unused paths for the videos of a clip, one for each suffix."""

        def names(base: str) -> list[str]:
            return [f"{base}.{suffix}.{'gif' if gif else 'mp4'}" for suffix in suffixes]

        stem = clip.resolve().name if clip.is_dir() else clip.stem
        return [self.out / name for name in names(self.files.stem(file_stem(stem), names))]

    def add_clip(self, clip: ClipFacts, file: Path) -> None:
        """Record a video that was written."""
        self.clips.append(clip.facts() | {"files": [file.name]})
        self._write_facts_so_far()

    def _write_facts_so_far(self) -> None:
        """Write the facts, for the case that this run is killed; after a while again if there are very many."""
        began = time.monotonic()
        if began >= self._next_facts:
            size, ended = len(self._write(self._about_run)), time.monotonic()
            self._next_facts = ended + _PAUSE * (ended - began) * (size > _FACTS_BYTES)

    def add_failure(self, image: ImageLike, error: Exception) -> None:
        """Record the error of an image."""
        self.failures.append({"image": name_of(image), "error": describe_error(error)})

    def _new_names(self, explanations: list[Explanation]) -> tuple[str, list[str]]:
        """Return unused names for the image and its heatmaps; two folders may both contain a cat.jpg."""
        suffixes = _suffixes(explanations)
        endings = [f".{name}" for suffix in suffixes for name in explanations[0].file_names(suffix, self.raw)[:-1]]
        endings += [f".{suffix}{_POSTER}" for suffix in suffixes] if self.poster else []
        endings += [_VIEW] + [".png"] * (len(explanations) > 1)  # the figure of all side by side
        stem = file_stem(bare_stem(Path(explanations[0].source).name))
        stem = self.files.stem(stem, lambda base: [base + ending for ending in endings])
        return stem, [f"{stem}.{suffix}" for suffix in suffixes]

    def _save_comparison(self, stem: str, explanations: list[Explanation]) -> str:
        path = self.out / f"{stem}.png"
        with atomic_write(path) as file:
            Comparison(tuple(explanations)).image(**self.style).save(file, "PNG")
        return path.name

    def _save_view(self, stem: str, explanation: Explanation) -> str:
        """Write the part of the image that the network received, which reports show below heatmaps."""
        path = self.out / f"{stem}{_VIEW}"
        with atomic_write(path) as file:
            explanation.image.save(file, "JPEG", quality=90)
        return path.name

    def _save_poster(self, stem: str, explanation: Explanation) -> str:
        path = self.out / f"{stem}{_POSTER}"
        write_file(path, as_png(explanation.poster(**self.style)))
        return path.name

    # -- at its end ---------------------------------------------------------------------------------------

    def finish(self, model: ExplainedModel) -> int:
        """Write ``explanations.json``, print the summary and the failures, and return the exit code."""
        facts = self.write_facts(model)
        self.files.all_listed()
        if self.json:
            print_json(json.loads(facts))
        elif not self.quiet:
            shown = [*heatmaps_table(self.facts, self.out), *trust_cards(self.facts)] if self.facts else []
            for item in [*shown, *(clips_table(self.clips, self.out) if self.clips else [])]:
                print_table(item)
        if self.files.renamed:
            numbered = f"the results of {self.files.renamed} images have a number in their names"
            print_note(f"note: kept files in {self.out} that no earlier run wrote: {numbered}")
        for failure in self.failures:
            print_note(f"failed: {failure_message(**failure)}")
        if self.interrupted:
            videos = f" and {len(self.clips)} videos" if self.clips else ""
            print_note(f"stopped: {len(self.facts)} heatmaps{videos} are in {self.out}")
            return 130
        return 1 if self.failures else 0

    def following(self) -> Sequence[object]:
        """Return the words of the command that is useful after this run; none if nothing was explained."""
        if self.interrupted or not self.facts:
            return ()
        first, levels = self.facts[0], [one["check"]["level"] for one in self.facts if "check" in one]
        if levels and "poor" not in levels:
            return ("export", self.out, "--format", "coco")
        method = "fusion-cam:multiscale" if levels else self.facts[-1]["method"]
        return ("explain", first["image"], *self.network, "-m", method, "--check")

    def write_facts(self, model: ExplainedModel) -> bytes:
        """Write ``explanations.json`` and return its contents."""
        return self._write(run_facts(model.name, model.preprocessing))

    def _write(self, facts: dict[str, Any]) -> bytes:
        facts = facts | {"explanations": self.facts, "failures": self.failures}
        facts |= {"clips": self.clips} if self.clips else {}
        earlier = self.files.earlier(name for one in (*self.facts, *self.clips) for name in entry_files(one))
        contents = to_json(facts | ({"earlier_files": earlier} if earlier else {}))
        write_file(self.out / RUN_FACTS, contents)
        return contents


def _announced(
    images: Sequence[Path], bar: ExplainProgressBar, plan: Callable[[int], PlannedTime | None]
) -> Iterator[Path]:
    """Yield the images; note before the first one how long all take, and after it how long the others take."""
    bar.planned(partial(plan, len(images)))
    began = time.monotonic()
    for number, image in enumerate(images):
        if number == 1 and not bar.quiet:
            each, left = time.monotonic() - began, len(images) - 1
            if each * left > LONG:
                bar.note(f"about {duration(each * left)} for the other {left:,} images, {each:.1f} s each")
        bar.job_started(str(image))
        yield image


def _suffixes(explanations: list[Explanation]) -> list[str]:
    """Return a distinct suffix for each explanation: the method, and the class if there are several."""
    several = len({one.target for one in explanations}) > 1
    names = [slug(one.method) + (f".{slug(one.class_name)}" if several else "") for one in explanations]
    return distinct_suffixes(names)
