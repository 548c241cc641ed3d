"""A run over many pictures: files are written as they come, failures are kept, the end is told."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from .errors import FusionCamError, ImageError
from .explanation import Explanation, run_facts, slug, to_json
from .files import replacing, writable_folder
from .images import Picture
from .render import side_by_side
from .sweep import Meter, metered


class Run:
    """Takes explanations, writes them to ``out`` and tells of them on the terminal."""

    def __init__(self, out: Path, *, quiet: bool = False, json: bool = False) -> None:
        self.out = writable_folder(out)
        self.quiet, self.json = quiet, json
        self.rows: list[tuple[Explanation, list[Path]]] = []
        self.failures: list[tuple[str, str]] = []
        self.interrupted = False
        self._stems: Counter[str] = Counter()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("pictures, left:"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=quiet or not sys.stderr.isatty(),
        )

    # -- while it runs ------------------------------------------------------------------------------------

    @contextmanager
    def progress(self, pictures: list[Path | ImageError]) -> Iterator[Iterator[Path]]:
        """Show a bar while the block runs; give the pictures that were found and note the others."""
        for one in pictures:
            if isinstance(one, ImageError):
                self.failures.append((str(one).split(": ")[0], str(one)))
        found = [one for one in pictures if isinstance(one, Path)]
        task = self._bar.add_task("", total=len(found))
        done = -1

        def each() -> Iterator[Path]:
            nonlocal done
            for done, path in enumerate(found):  # noqa: B007 # read by the bar
                yield path

        def report(meter: Meter) -> None:
            self._bar.update(task, description=f"{meter.passes:,} passes", completed=max(done, 0))

        with self._bar, metered(report):
            try:
                yield each()
                self._bar.update(task, completed=len(found))
            except KeyboardInterrupt:
                self.interrupted = True

    def take(self, explanations: Iterable[Explanation]) -> None:
        """Save each explanation, and where a picture has several, all of them side by side."""
        for _, of_picture in groupby(explanations, key=lambda one: id(one.picture)):
            group = list(of_picture)
            stem = self._stem(Path(group[0].source).stem)
            several = len({one.target for one in group}) > 1
            saved = [one.save_map(self.out, self._name(stem, one, several)) for one in group]
            if len(group) > 1:
                saved[0].insert(0, self._save_grid(stem, group, several))
            self.rows += zip(group, saved, strict=True)

    def fail(self, picture: Picture, error: Exception) -> None:
        """Keep what went wrong with a picture, for the end."""
        told = error.explained() if isinstance(error, FusionCamError) else f"{type(error).__name__}: {error}"
        self.failures.append((str(picture), told.splitlines()[0]))

    def _stem(self, stem: str) -> str:
        """Give each picture a name of its own, also when two folders have a cat.jpg."""
        self._stems[stem] += 1
        return stem if self._stems[stem] == 1 else f"{stem}-{self._stems[stem]}"

    def _name(self, stem: str, one: Explanation, several: bool) -> str:
        return f"{stem}.{slug(one.method)}" + (f".{slug(one.class_name)}" if several else "")

    def _save_grid(self, stem: str, group: list[Explanation], several: bool) -> Path:
        titles = [one.method + (f"\n{one.class_name} {one.probability:.1%}" if several else "") for one in group]
        panels = [(title, one.overlay()) for title, one in zip(titles, group, strict=True)]
        first = group[0]
        heading = stem if several else f"{stem}: {first.class_name} {first.probability:.1%}"
        path = self.out / f"{stem}.png"
        with replacing(path) as file:
            side_by_side([("picture", first.picture), *panels], heading).save(file, "PNG")
        return path

    # -- at its end ---------------------------------------------------------------------------------------

    def finish(self) -> int:
        """Write ``explanations.json``, tell what was done and what failed, and give the exit code."""
        facts = to_json(self._facts())
        with replacing(self.out / "explanations.json") as file:
            file.write(facts)
        if self.json:
            print(facts.decode())
        elif not self.quiet:
            Console(width=None if sys.stdout.isatty() else 200).print(self._table())
        for picture, why in self.failures:
            print(f"failed: {why if picture in why else f'{picture}: {why}'}", file=sys.stderr)
        if self.interrupted:
            print(f"stopped: {len(self.rows)} heatmaps are in {self.out}", file=sys.stderr)
            return 130
        return 1 if self.failures else 0

    def _facts(self) -> dict[str, Any]:
        shared = run_facts(self.rows[0][0].model, self.rows[0][0].preprocessing) if self.rows else {}
        rows = [one.facts() | {"files": [path.name for path in paths]} for one, paths in self.rows]
        failures = [{"picture": picture, "error": why} for picture, why in self.failures]
        return shared | {"explanations": rows, "failures": failures}

    def _table(self) -> Table:
        table = Table("picture", "class", "probability", "method", "gain D / R / U", "file")
        for one, paths in self.rows:
            gains = " / ".join(f"{gain:+.3f}" for gain in one.gains.values())
            row = (Path(one.source).name, one.class_name, f"{one.probability:.1%}", one.method, gains, str(paths[0]))
            table.add_row(*row)
        return table
