"""Test the folder of a run: locks, full disks and bad paths."""

from __future__ import annotations

import os

import pytest

from benchmark_runs import benchmark_rows
from fusioncam.benchmark.api import collect_results
from fusioncam.data.datasets.sample import Sample
from fusioncam.errors import OutputError, ResultsError
from fusioncam.utils.files import folder_lock
from runs import same
from samples import painted


def test_two_runs_in_one_folder_are_rejected(data, tmp_path):
    """The second run is an error until the first has ended."""
    with (
        folder_lock(tmp_path / "run"),
        pytest.raises(OutputError, match=f"another run \\(process {os.getpid()}\\) is writing"),
    ):
        benchmark_rows(data, tmp_path / "run")
    assert len(benchmark_rows(data, tmp_path / "run")) == 16
    assert len(benchmark_rows(data, tmp_path / "run")) == 16


def test_a_folder_that_cannot_be_created_is_reported(data, tmp_path):
    """The path is that of a file."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot write into"):
        benchmark_rows(data, tmp_path / "file")


def test_a_full_disk_stops_the_run_and_keeps_its_rows(data, tmp_path):
    """Rows stay readable, and the run continues once there is space."""
    resource = pytest.importorskip("resource")
    whole = benchmark_rows(data, tmp_path / "whole", keep_heatmaps=False)
    line = (tmp_path / "whole" / "rows.jsonl").stat().st_size // 4
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(2.5 * line), before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*rows\.jsonl: File too large. .* continues"):
            benchmark_rows(data, tmp_path / "run", keep_heatmaps=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert collect_results(tmp_path / "run").rows == 8
    same(benchmark_rows(data, tmp_path / "run", keep_heatmaps=False), whole)


def test_images_with_the_same_name_are_rejected(tmp_path):
    """Rows identify images by name."""
    with pytest.raises(ResultsError, match=r"names of images must be unique.* 1 are used several times, such as a"):
        benchmark_rows([Sample("a", painted(0)), Sample("a", painted(1)), Sample("b", painted(2))], tmp_path / "run")
