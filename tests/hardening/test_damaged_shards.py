"""Bulk runs count a shard as done only if it is whole and of their plan, and cost the same after a stop."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark_runs import Recorder
from fusioncam import explain, read_heatmaps
from fusioncam.bulk import BulkPlan, explain_in_bulk
from fusioncam.bulk.parquet import shards_in
from fusioncam.bulk.storage import Folder
from fusioncam.errors import ResultsError
from samples import painted, photos, small

METHODS = ("grad-cam", "ablation-cam")


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Return a plan of five images in three shards, in the working directory."""
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "photos", 5)
    return BulkPlan(("photos",), model="samples:small", methods=METHODS, shard=2)


def rows(folder):
    """Return the rows of a run without the time that they took."""
    tables = [pq.read_table(path).drop_columns(["seconds"]) for path in sorted(Path(folder).glob("part-*.parquet"))]
    return pa.concat_tables(tables).to_pylist()


def with_digest(path, digest):
    """Write a shard again as one of another plan."""
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"fusioncam": f'{{"digest": "{digest}"}}'}), path)


def without_rows(path):
    """Write a shard again without its rows."""
    pq.write_table(pq.read_table(path).slice(0, 1), path)


DAMAGES = {
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "text": lambda path: path.write_text("PAR1 not a table PAR1"),
    "another table": lambda path: pq.write_table(pa.table({"image": ["a"], "error": ["b"]}), path),
    "another plan": lambda path: with_digest(path, "0123"),
    "no rows": without_rows,
}


def test_shards_that_are_not_whole_are_made_again(plan):
    """Whatever is wrong with a shard, the rows are then those of an undisturbed run."""
    explain_in_bulk(plan, "whole")
    for damage, make in DAMAGES.items():
        shutil.rmtree("maps", ignore_errors=True)
        shutil.copytree("whole", "maps")
        shard = sorted(Path("maps").glob("part-*.parquet"))[1]
        make(shard)
        listener = Recorder()
        outcome = explain_in_bulk(plan, "maps", listener=listener)
        assert (outcome.images, outcome.heatmaps, outcome.failures) == (5, 10, 0), damage
        assert listener.counts == [(5, 3)], damage
        assert listener.notes == [f"{shard.name} is damaged or no shard of this run: it is made again"], damage
        assert rows("maps") == rows("whole"), damage


def test_only_names_that_a_run_writes_are_shards(plan):
    """Other files with similar names are neither counted nor read; two shards of one number are an error."""
    explain_in_bulk(plan, "maps")
    shard = sorted(Path("maps").glob("part-*.parquet"))[0]
    for name in ("part-1.parquet", "part-0000000.parquet", "part-0000000.copy.parquet", f"{shard.stem}.bak.parquet"):
        shutil.copy(shard, shard.with_name(name))
    assert len(shards_in(Folder("maps"))) == 3
    assert len(list(read_heatmaps("maps"))) == 10
    shutil.copy(shard, shard.with_name(f"{shard.name.split('.')[0]}.0123456789ab.parquet"))
    for use in (lambda: explain_in_bulk(plan, "maps"), lambda: list(read_heatmaps("maps"))):
        with pytest.raises(ResultsError, match=r"two shards of one number, part-0000000\."):
            use()


def test_reading_a_damaged_shard_is_an_error(plan):
    """The error names the file, whatever is wrong with it."""
    explain_in_bulk(plan, "whole")
    for damage in ("torn", "text", "another table", "another plan"):
        shutil.rmtree("maps", ignore_errors=True)
        shutil.copytree("whole", "maps")
        DAMAGES[damage](sorted(Path("maps").glob("part-*.parquet"))[1])
        with pytest.raises(ResultsError, match=r"part-0000001\..* in maps is damaged or no shard"):
            list(read_heatmaps("maps"))


def test_the_first_image_of_a_process_costs_as_much_as_any(plan):
    """One-time searches are not part of it: a run that was stopped and continued has the rows of one that was not."""
    explain_in_bulk(plan, "whole")
    costs = {(row["method"], row["passes"], row["partial_passes"]) for row in rows("whole")}
    assert len(costs) == len(METHODS)

    class Stopped(Recorder):
        def rows_finished(self, rows):
            super().rows_finished(rows)
            if len(self.rows) == 6:
                raise KeyboardInterrupt

    assert explain_in_bulk(plan, "maps", listener=Stopped()).interrupted
    explain_in_bulk(plan, "maps")
    assert rows("maps") == rows("whole")


def test_the_first_explanation_costs_as_much_as_the_second():
    """The same holds for one image in Python."""
    model = small()
    for method, passes, partial in (("grad-cam", 1, 0), ("ablation-cam", 2, 6)):
        for n in range(2):
            explanation = explain(painted(n), model=model, method=method)
            assert (explanation.passes, explanation.partial_passes) == (passes, partial)
