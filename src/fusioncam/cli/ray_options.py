"""The options with which `explain` and `benchmark` run on a Ray cluster."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Annotated, Any

import typer

from fusioncam.distributed.progress import ProgressListener
from fusioncam.distributed.ray_connection import LOCAL, ray_pool
from fusioncam.distributed.ray_pool import Request
from fusioncam.distributed.workers import LocalWorkers, Workers
from fusioncam.errors import ClusterError

Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="run on a Ray cluster at HOST:PORT, ray://HOST:PORT or auto; without an address, on a new local one",
    ),
]
WorkerCount = Annotated[
    int | None, typer.Option("--workers", help="with --ray; default: as many as the cluster has room for")
]
Cpus = Annotated[int | None, typer.Option("--cpus-per-worker", help="CPU cores and threads of each; default: 1")]
Gpus = Annotated[float | None, typer.Option("--gpus-per-worker", help="0.5 lets two workers share a GPU; default: 0")]
Patience = Annotated[
    float | None,
    typer.Option("--patience", help="seconds without a finished image after which to abort; default: 1800"),
]
_ADDRESS = re.compile(r"auto|local|ray://\S+|[\w.-]+:\d+|\[[0-9a-fA-F:]+\]:\d+")


@dataclass(frozen=True)
class RayOptions:
    """The values of the options above; None where an option was not given."""

    ray: str | None
    workers: int | None
    cpus: int | None
    gpus: float | None
    patience: float | None

    def require_no_workers(self) -> None:
        """Raise :class:`ClusterError` if options of cluster workers are given."""
        names = {"workers": "--workers", "cpus": "--cpus-per-worker", "gpus": "--gpus-per-worker"}
        given = [{**names, "patience": "--patience"}[name] for name in self._request()]
        if given:
            raise ClusterError(f"{', '.join(given)} applies only to workers on a cluster: add --ray, or leave it out")

    @contextmanager
    def start_workers(self, batch_size: int, listener: ProgressListener) -> Iterator[Workers]:
        """Yield what runs the jobs: this process, or workers on the cluster."""
        if self.ray is None:
            self.require_no_workers()
            yield LocalWorkers(batch_size)
            return
        with ray_pool(self.ray, Request(**self._request(), batch_size=batch_size), listener) as pool:
            yield pool

    def _request(self) -> dict[str, Any]:
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "ray"}
        return {name: value for name, value in values.items() if value is not None}


def with_address(words: Iterable[str]) -> list[str]:
    """Return the words of a command line with ``--ray=local`` for every ``--ray`` that no address follows.

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
