"""What `explain` and `benchmark` have in common where work goes to a cluster, and `explain --bulk`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer

from fusioncam.bulk.plan import BulkPlan
from fusioncam.bulk.runner import BulkResult, explain_in_bulk
from fusioncam.cli.bulk_progress import BulkProgressBar
from fusioncam.distributed.ray_connection import LOCAL, ray_pool
from fusioncam.distributed.ray_pool import Request
from fusioncam.distributed.workers import LocalWorkers, Workers
from fusioncam.errors import ClusterError
from fusioncam.utils.files import to_json

Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="work on a Ray cluster: HOST:PORT, ray://HOST:PORT or auto; without an address one on this machine",
    ),
]
WorkerCount = Annotated[
    int | None, typer.Option("--workers", help="with --ray; default: as many as there is room for")
]
Cpus = Annotated[int | None, typer.Option("--cpus-per-worker", help="cores and threads of each; default: 1")]
Gpus = Annotated[float | None, typer.Option("--gpus-per-worker", help="0.5 lets two share one; default: 0")]
Patience = Annotated[
    float | None,
    typer.Option("--patience", help="seconds without an image after which to give up; default: 1800"),
]
_ADDRESS = re.compile(r"auto|local|ray://\S+|[\w.-]+:\d+|\[[0-9a-fA-F:]+\]:\d+")


def with_address(words: Iterable[str]) -> list[str]:
    """Give the words of a command line with an address for every ``--ray`` that none follows.

    >>> with_address(["explain", "--ray", "photos/"]), with_address(["--ray", "head:6379", "photos/"])
    (['explain', '--ray=local', 'photos/'], ['--ray=head:6379', 'photos/'])
    """
    spelled: list[str] = []
    for word in words:
        if spelled[-1:] == ["--ray"]:
            spelled.pop()
            spelled += [f"--ray={word}"] if _ADDRESS.fullmatch(word) else [f"--ray={LOCAL}", word]
        else:
            spelled.append(word)
    return [*spelled[:-1], f"--ray={LOCAL}"] if spelled[-1:] == ["--ray"] else spelled


@contextmanager
def workers_for(
    ray: str | None,
    workers: int | None,
    cpus: int | None,
    gpus: float | None,
    patience: float | None,
    *,
    batch_size: int,
    note: Callable[[str], None],
) -> Iterator[Workers]:
    """Give who does the work: this process, or workers on a cluster."""
    if ray is None:
        require_ray(workers, cpus, gpus, patience)
        yield LocalWorkers(batch_size)
        return
    asked = {"workers": workers, "cpus": cpus, "gpus": gpus, "patience": patience}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    with ray_pool(ray, Request(**given, batch_size=batch_size), note) as pool:
        yield pool


def require_ray(workers: int | None, cpus: int | None, gpus: float | None, patience: float | None) -> None:
    """Tell that these words need ``--ray``."""
    asked = {"--workers": workers, "--cpus-per-worker": cpus, "--gpus-per-worker": gpus, "--patience": patience}
    given = [name for name, value in asked.items() if value is not None]
    if given:
        raise ClusterError(f"{', '.join(given)}: of workers on a cluster: say --ray, too")


def in_bulk(
    plan: BulkPlan,
    out: str,
    device: str | None,
    place: Callable[[Callable[[str], None]], AbstractContextManager[Workers]],
    *,
    quiet: bool,
    json: bool,
) -> int:
    """Explain images into shards, tell how it went, and give the exit code."""
    screen = BulkProgressBar(quiet=quiet)
    with screen.shown(), place(screen.note) as workers:
        outcome = explain_in_bulk(plan, out, device=device, workers=workers, watch=screen)
    return _told(outcome, quiet=quiet, json=json)


def _told(outcome: BulkResult, *, quiet: bool, json: bool) -> int:
    if json:
        print(to_json(asdict(outcome)).decode())
    elif not quiet:
        print(f"{outcome.heatmaps:,} heatmaps of {outcome.images:,} images: {outcome.folder}")
    for row in outcome.told:
        named = row["error"].startswith(row["image"])
        print("failed:", row["error"] if named else f"{row['image']}: {row['error']}", file=sys.stderr)
    if outcome.failures > len(outcome.told):
        print(f"failed: {outcome.failures:,} in all, see the column 'error' of the rows", file=sys.stderr)
    if outcome.interrupted:
        print(f"stopped: {outcome.images:,} images are in shards, the same command goes on", file=sys.stderr)
        return 130
    return 1 if outcome.failures else 0
