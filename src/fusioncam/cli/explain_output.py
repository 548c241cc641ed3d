"""A run over many images: files are written as they come, failures are kept, the end is told.

Of what is done only facts stay in memory, so that a run may be as long as it likes.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fusioncam.cli.progress import _Bar
from fusioncam.data.images import ImageLike
from fusioncam.errors import ImageError, describe_error
from fusioncam.explanations.comparison import Comparison
from fusioncam.explanations.explain import name_of
from fusioncam.explanations.explanation import Explanation, run_facts
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.trust.rendering import MARKS, to_table
from fusioncam.utils.files import atomic_write, to_json, writable_folder
from fusioncam.utils.text import printable, slug, truncate_stem

_CARDS = 6  # more of them nobody reads on a terminal


class Run:
    """Takes explanations, writes them to ``out`` and tells of them on the terminal."""

    def __init__(self, out: Path, *, quiet: bool = False, as_json: bool = False) -> None:
        self.out = writable_folder(out)
        self.quiet, self.json = quiet, as_json
        self.facts: list[dict[str, Any]] = []
        self.failures: list[dict[str, str]] = []
        self.interrupted = False
        self._used: set[str] = set()

    # -- while it runs ------------------------------------------------------------------------------------

    @contextmanager
    def progress(self, images: Iterable[Path | ImageError]) -> Iterator[Iterator[Path]]:
        """Show a bar while the block runs; give the images that were found and keep the others as failures.

        Ctrl-C ends the block, not the run.
        """
        listed = list(images)
        self.failures += [{"image": str(one).split(": ")[0], "error": str(one)} for one in listed if _lost(one)]
        found = [one for one in listed if isinstance(one, Path)]
        bar = _Bar(len(found), hidden=self.quiet or not sys.stderr.isatty())
        try:
            with bar.shown():
                yield bar.each(found)
        except KeyboardInterrupt:
            self.interrupted = True

    def take(self, images: Iterable[list[Explanation]]) -> None:
        """Save the explanations of each image, and where it has several, all of them side by side."""
        for explanations in images:
            several = len({one.target for one in explanations}) > 1
            stem, names = self._names(explanations, several)
            saved = [one.save_heatmap(self.out, name) for one, name in zip(explanations, names, strict=True)]
            if len(explanations) > 1:
                saved[0].insert(0, self._save_grid(stem, explanations))
            for one, paths in zip(explanations, saved, strict=True):
                self.facts.append(one.facts() | {"files": [path.name for path in paths]})

    def fail(self, image: ImageLike, error: Exception) -> None:
        """Keep what went wrong with an image, for the end."""
        self.failures.append({"image": name_of(image), "error": describe_error(error)})

    def _names(self, explanations: list[Explanation], several: bool) -> tuple[str, list[str]]:
        """Give the image and its maps names that no other has, also when two folders have a cat.jpg."""
        stem = truncate_stem(Path(explanations[0].source).stem)
        tails: list[str] = []
        for one in explanations:
            tail = slug(one.method) + (f".{slug(one.class_name)}" if several else "")
            tails.append(_unused(tail, set(tails)))
        for number in itertools.count(1):
            base = stem if number == 1 else f"{stem}-{number}"
            names = [f"{base}.{tail}" for tail in tails]
            if self._used.isdisjoint([base, *names]):
                break
        self._used.update([base, *names])
        return base, names

    def _save_grid(self, stem: str, explanations: list[Explanation]) -> Path:
        path = self.out / f"{stem}.png"
        with atomic_write(path) as file:
            Comparison(tuple(explanations)).image().save(file, "PNG")
        return path

    # -- at its end ---------------------------------------------------------------------------------------

    def finish(self, model: ExplainedModel) -> int:
        """Write ``explanations.json``, tell what was done and what failed, and give the exit code."""
        shared = run_facts(model.name, model.preprocessing)
        facts = to_json(shared | {"explanations": self.facts, "failures": self.failures})
        with atomic_write(self.out / "explanations.json") as file:
            file.write(facts)
        if self.json:
            print(json.dumps(json.loads(facts), indent=2))
        elif self.facts and not self.quiet:
            console = Console(width=None if sys.stdout.isatty() else 200)
            for shown in (self._table(), *self._cards()):
                console.print(shown)
        for failure in self.failures:
            named = failure["error"].startswith(failure["image"])
            print("failed:", failure["error"] if named else ": ".join(failure.values()), file=sys.stderr)
        if self.interrupted:
            print(f"stopped: {len(self.facts)} heatmaps are in {self.out}", file=sys.stderr)
            return 130
        return 1 if self.failures else 0

    def _table(self) -> Table:
        fused = any(one["gains"] for one in self.facts)
        legend = "gain: what the denoised gradient map D, the region map R and their union U add to the probability"
        table = Table("image", "class", "probability", "method", caption=legend if fused else None)
        checked = any("check" in one for one in self.facts)
        for column in ["gain D / R / U"] * fused + ["check"] * checked + ["file"]:
            table.add_column(column)
        for one in self.facts:
            gains = [" / ".join(f"{gain:+.3f}" for gain in one["gains"].values())] * fused
            file = str(self.out / one["files"][0])
            probability = f"{one['probability']:.1%}"
            level = [f"{MARKS[one['check']['level']]} {one['check']['level']}"] if checked else []
            cells = (Path(one["image"]).name, one["class_name"], probability, one["method"], *gains, *level, file)
            table.add_row(*map(Text, map(printable, cells)))  # names are text, not markup
        return table

    def _cards(self) -> list[Table | str]:
        """Give the trust cards, or if there are many, say where they are."""
        checked = [one for one in self.facts if "check" in one]
        if len(checked) > _CARDS:
            return [f"{len(checked)} trust cards are in explanations.json"]
        return [
            to_table(one["check"], printable(f"{Path(one['image']).name}, {one['class_name']}, {one['method']}"))
            for one in checked
        ]


def _lost(found: Path | ImageError) -> bool:
    return isinstance(found, ImageError)


def _unused(name: str, used: set[str]) -> str:
    return next(
        one for one in itertools.chain([name], (f"{name}-{n}" for n in itertools.count(2))) if one not in used
    )
