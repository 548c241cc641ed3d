"""Names of result files: a result replaces an earlier result, and never an input or a file of the user's."""

from __future__ import annotations

import itertools
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from glob import escape
from pathlib import Path
from typing import Any

from fusioncam.errors import FusionCamWarning, OutputError
from fusioncam.explanations.started_files import forget_started, list_started, started_files
from fusioncam.utils.text import bare_stem, name_key, truncate_stem

RUN_FACTS = "explanations.json"
WRITTEN_BY_RUNS = (RUN_FACTS, "report.html")  # besides the results that it lists
_SUFFIX_BYTES = 110  # with 120 bytes of the stem, numbers and an ending, a name has less than 255 bytes

Names = Callable[[str], Sequence[str]]


def free_stem(stem: str, names: Names, is_free: Callable[[str], bool]) -> str:
    """Return the stem, or the stem with the first number for which all its ``names`` are free."""
    numbered = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(base for base in numbered if all(map(is_free, names(base))))


def distinct_suffixes(suffixes: Iterable[str]) -> list[str]:
    """Return the suffixes, shortened, with a number for each that equals an earlier one.

    >>> distinct_suffixes(["grad-cam.crane", "grad-cam.Crane"])
    ['grad-cam.crane', 'grad-cam.Crane-2']
    """
    used: set[str] = set()
    distinct = []
    for suffix in suffixes:
        short = truncate_stem(suffix, _SUFFIX_BYTES)
        distinct.append(free_stem(short, lambda name: [name_key(name)], lambda key: key not in used))
        used.add(name_key(distinct[-1]))
    return distinct


def entry_files(entry: Mapping[str, Any]) -> list[str]:
    """Return the names of all files of an entry of ``explanations.json``."""
    single = [entry[key] for key in ("view", "poster") if key in entry]
    return [*entry["files"], *entry.get("raw", []), *single]


# -- results of an earlier run ---------------------------------------------------------------------------------------


def listed_results(folder: Path) -> frozenset[str]:
    """Return the names of the files that runs into a folder have listed, also killed runs."""
    listed = _listed_names(_read_json(folder / RUN_FACTS)) or []
    return frozenset(listed + _names_in_folder(started_files(folder)))


def results_among(paths: Iterable[Path]) -> set[Path]:
    """Return the files that an earlier run lists in the ``explanations.json`` of their folder."""
    by_folder: dict[Path, list[Path]] = {}
    for path in paths:
        by_folder.setdefault(path.parent, []).append(path)
    listed = {folder: listed_results(folder) for folder in by_folder}
    return {path for folder, files in by_folder.items() for path in files if path.name in listed[folder]}


class RunFiles:
    """Chooses the names of the files of one run, which writes them into one folder.

    Names of the run differ also where case or Unicode normalisation do not count. Raises :class:`OutputError` if the
    folder has an ``explanations.json`` that is not the list of an earlier run.
    """

    def __init__(self, folder: Path, inputs: Iterable[Path] = ()) -> None:
        self.folder = folder
        self.renamed = 0
        self._inputs = {file_id for path in inputs for file_id in _file_ids(path)}
        self._earlier = listed_results(folder)
        self._used: set[str] = set()
        self._started: set[str] = set()
        _require_own_facts(folder / RUN_FACTS)

    def stem(self, stem: str, names: Names) -> str:
        """Return the stem, with a number if necessary, and reserve and list all its ``names`` for this run."""
        chosen = free_stem(stem, names, lambda name: self._is_unused(name) and self._may_write(name))
        self.renamed += any(self._is_unused(name) and not self._may_write(name) for name in names(stem))
        self._used.update(map(name_key, names(chosen)))
        self._started.update(names(chosen))
        list_started(self.folder, names(chosen))
        return chosen

    def earlier(self, written: Iterable[str]) -> list[str]:
        """Return the files that earlier runs listed or this run began, if they exist, without the ``written``."""
        names = sorted((self._earlier | self._started).difference(written))
        return [name for name in names if os.path.lexists(self.folder / name)]

    def all_listed(self) -> None:
        """Remove the list of files that were begun, after ``explanations.json`` has listed them."""
        forget_started(self.folder)

    def _is_unused(self, name: str) -> bool:
        return name_key(name) not in self._used

    def _may_write(self, name: str) -> bool:
        path = self.folder / name
        exists = os.path.lexists(path)
        return not exists or (name in self._earlier and self._inputs.isdisjoint(_file_ids(path)))


def _require_own_facts(path: Path) -> None:
    if os.path.lexists(path) and _listed_names(_read_json(path)) is None:
        raise OutputError(
            f"{path} exists, and fusioncam did not write it: choose another folder for the results, or move the file"
        )


def _listed_names(facts: Any) -> list[str] | None:
    """Return the file names that facts of a run list, or None if the facts are not those of a run."""
    try:
        entries = [*facts["explanations"], *facts.get("clips", [])]
        lists = [*map(entry_files, entries), facts.get("earlier_files", [])]
        names = [name for names in lists for name in names]
    except (TypeError, KeyError, AttributeError):
        return None
    return _names_in_folder(names)


def _names_in_folder(names: Iterable[object]) -> list[str]:
    """Return the names of files in the folder itself: a list may come from elsewhere and name others."""
    return [name for name in names if isinstance(name, str) and name not in ("", "..") and Path(name).name == name]


# -- results of one explanation --------------------------------------------------------------------------------------


def unused_stem(folder: Path, stem: str, names: Names, source: str, *, replace_any: bool) -> str:
    """Return the stem; if its ``names`` include files that may not be replaced, add a number and warn.

    A file may be replaced if the facts in a ``.json`` file beside it list it and state ``source`` as the image; with
    ``replace_any`` they may state any image. The file ``source`` itself is never replaced.
    """
    inputs = _file_ids(Path(source))

    def is_free(name: str) -> bool:
        path = folder / name
        if not os.path.lexists(path):
            return True
        listing = [facts for facts in _facts_beside(path) if path.name in facts["files"]]
        own = any(replace_any or facts["image"] == source for facts in listing)
        return own and inputs.isdisjoint(_file_ids(path))

    chosen = free_stem(stem, names, is_free)
    if chosen != stem:
        message = f"{folder} contains other files named {stem}.*, which are kept: the results are named {chosen}.*"
        warnings.warn(message, FusionCamWarning, stacklevel=3)
    return chosen


def _facts_beside(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the facts of explanations that may list a file: of the same stem, or of one that continues it."""
    stem = bare_stem(path.name)
    for file in (path.with_name(f"{stem}.json"), *path.parent.glob(f"{escape(stem)}.*.json")):
        facts = _read_json(file)
        if isinstance(facts, dict) and "image" in facts and isinstance(facts.get("files"), list):
            yield facts


def _read_json(path: Path) -> Any:
    """Return the contents of a JSON file, or None if it cannot be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _file_ids(path: Path) -> set[tuple[int, int]]:
    """Return what identifies a file however its path is spelled; for a link also that of its target."""
    found = set()
    for status in (os.stat, os.lstat):
        try:
            facts = status(path)
        except (OSError, ValueError):
            continue
        found.add((facts.st_dev, facts.st_ino))
    return found
