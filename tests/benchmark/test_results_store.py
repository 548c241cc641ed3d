"""Test the storage of rows: none is lost or duplicated, and other tools can read them."""

from __future__ import annotations

import json
from contextlib import contextmanager

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusioncam.benchmark.journal import Journal, merge_lines
from fusioncam.benchmark.results_store import Means, ordered_rows, write_parquet
from fusioncam.errors import OutputError, ResultsError
from fusioncam.utils.stored_files import COLUMNS
from runs import stored_row

resource = pytest.importorskip("resource")


@contextmanager
def full_disk(size):
    """Limit the size of files."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def path(tmp_path):
    """Return the path of the journal."""
    return tmp_path / "rows.jsonl"


def test_rows_are_read_as_they_were_written(path):
    """Rows are read by the same journal and by a new one."""
    curve = [0.1, None, 1e-300]
    rows = [
        stored_row(value=1 / 3, curve=curve, target=3, label=None),
        stored_row(metric="road", value=None, target=3),
    ]
    journal = Journal(path)
    assert journal.rows("m", "a") == []
    journal.append(rows)
    journal.append([stored_row("ä\n\udcff", value=-0.0)])

    for reader in (journal, Journal(path)):
        assert reader.rows("m", "a") == rows
        assert reader.done["m", "a"] == {("grad-cam", "increase"), ("grad-cam", "road")}
    assert [image for _, image in Journal(path).images()] == ["a", "ä\n\udcff"]


def test_an_incomplete_last_line_is_ignored(path, monkeypatch):
    """Wherever a killed run stopped, complete lines stay, and the next run writes after them."""
    monkeypatch.setattr("os.fsync", lambda file: None)  # it is slow, and not needed in a test
    journal = Journal(path)
    for image in "abc":
        journal.append([stored_row(image), stored_row(image, metric="road")])
    whole = path.read_bytes()
    ends = [offset + 1 for offset, byte in enumerate(whole) if byte == ord("\n")]
    near = (end + step for end in ends for step in (-1, 0, 1))
    for length in sorted({*range(0, len(whole), 29), *near}):
        path.write_bytes(whole[:length])
        kept = "abc"[: sum(end <= length for end in ends)]

        again = Journal(path)
        assert [image for _, image in again.images()] == list(kept)
        for image in "abc"[len(kept) :]:
            again.append([stored_row(image), stored_row(image, metric="road")])
        assert path.read_bytes() == whole


def test_a_long_incomplete_line_is_removed(path):
    """Nothing of it remains after a shorter line."""
    Journal(path).append([stored_row("a")])
    path.write_bytes(path.read_bytes() + b"x" * 5000)
    Journal(path).append([stored_row("b")])

    assert Journal(path).rows("m", "b") == [stored_row("b")]
    assert b"x" * 50 not in path.read_bytes()


@pytest.mark.parametrize("damage", [b"{}\n", b"nothing\n", b"\n", b'{"rows": []}\n', b"[1]\n", b"\xff\n"])
def test_a_damaged_line_is_reported(path, damage):
    """A complete line that is malformed is not the trace of a killed run."""
    Journal(path).append([stored_row()])
    path.write_bytes(path.read_bytes() + damage)
    with pytest.raises(ResultsError, match=r"line 2 of .*rows\.jsonl is damaged"):
        Journal(path)


def test_a_full_disk_keeps_the_written_rows(path):
    """The error names the file, and the same rows can be written once there is space."""
    journal = Journal(path)
    journal.append([stored_row("a")])
    with (
        full_disk(path.stat().st_size + 20),
        pytest.raises(OutputError, match=r"cannot write .* the same command continues"),
    ):
        journal.append([stored_row("b")])

    assert path.stat().st_size > 0
    for reader in (journal, Journal(path)):
        assert reader.images() == [("m", "a")]
    journal.append([stored_row("b")])
    assert Journal(path).rows("m", "b") == [stored_row("b")]


def test_a_full_disk_keeps_the_old_parquet(tmp_path):
    """The Parquet file is replaced as a whole or not at all."""
    path = tmp_path / "rows.parquet"
    write_parquet([stored_row("a")], path)
    old = path.read_bytes()
    with full_disk(100), pytest.raises(OutputError, match="cannot write"):
        write_parquet([stored_row("b")], path)

    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_rejected(path):
    """NaN is not JSON, and is rejected before a byte is written."""
    with pytest.raises(ValueError, match="JSON"):
        Journal(path).append([stored_row(value=float("nan"))])
    assert not path.exists()


def test_a_new_attempt_replaces_an_error():
    """Errors of an image or method are removed when it is tried again; those of others stay."""
    failed = stored_row(method="", metric="", value=None, error="unreadable")
    broken = stored_row(method="cam", metric="", value=None, error="no head")

    assert merge_lines([[failed], [stored_row()]]) == [stored_row()]
    assert merge_lines([[failed], [failed | {"error": "again"}]]) == [failed | {"error": "again"}]
    assert merge_lines([[stored_row(), broken], [stored_row(method="layer-cam")]]) == [
        stored_row(),
        broken,
        stored_row(method="layer-cam"),
    ]
    assert merge_lines([[stored_row(), broken], [stored_row(method="cam")]]) == [
        stored_row(),
        stored_row(method="cam"),
    ]
    assert merge_lines([[stored_row(value=None, error="NaN")], [stored_row()]]) == [stored_row()]
    assert merge_lines([[stored_row()], [failed]]) == [stored_row(), failed]
    assert merge_lines([]) == []


def test_failures_are_not_done(path):
    """A failure is tried again by the next run, an undefined value is not."""
    journal = Journal(path)
    journal.append([stored_row(value=None), stored_row(metric="road", value=None, error="no")])
    journal.append([stored_row("b", method="", metric="", value=None, error="no")])

    assert journal.done["m", "a"] == {("grad-cam", "increase")}
    assert journal.done["m", "b"] == frozenset()


@given(st.permutations(range(6)))
def test_the_order_of_rows_is_that_of_the_plan(tmp_path_factory, order):
    """Rows are ordered by image, method and metric, however they were written; other rows are left out."""
    path = tmp_path_factory.mktemp("run") / "rows.jsonl"
    expected = [
        stored_row(p, method, metric) for p in "ab" for method in ("y", "x") for metric in ("road", "increase")
    ]
    extra = [stored_row("a", "z"), stored_row("c"), stored_row("a", "y", "other")]
    lines = [expected[:2], expected[2:4], expected[4:7], [expected[7], extra[0]], [extra[1]], [extra[2]]]
    journal = Journal(path)
    for index in order:
        journal.append(lines[index])

    assert list(ordered_rows(journal, [("m", "a"), ("m", "b")], ["y", "x"], ["road", "increase"])) == expected


def test_parquet_has_types_and_others_read_it(tmp_path):
    """pandas, polars and duckdb read the same values; an empty column keeps its type."""
    path = tmp_path / "rows.parquet"
    rows = [
        stored_row(
            value=1 / 3, curve=[0.0, None], target=7, passes=3.0, higher_is_better=True, protocol='{"metric": "A"}'
        ),
        stored_row(image="ä", value=None, target=None, error="broken"),
    ]
    assert write_parquet(iter(rows), path) == 2

    schema = pq.read_schema(path)
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        name: {"float64": "double", "list<float64>": "list<element: double>"}.get(kind, kind)
        for name, kind in COLUMNS.items()
    }
    assert pa.parquet.read_table(path).to_pylist() == rows
    frame = pd.read_parquet(path)
    assert frame["value"].isna().tolist() == [False, True]
    assert frame["value"][0] == 1 / 3
    assert list(frame.columns) == list(COLUMNS)
    assert pl.read_parquet(path).to_dicts() == rows
    counted = duckdb.sql(f"select count(*), count(value), sum(passes), max(len(curve)) from '{path}'").fetchall()
    assert counted == [(2, 1, 3.0, 2)]


def test_bytes_that_are_not_utf8_are_written_as_escapes(tmp_path):
    """A file name may be invalid UTF-8, which Parquet cannot store."""
    write_parquet([stored_row(error="caf\udce9.png: damaged")], tmp_path / "rows.parquet")

    assert pd.read_parquet(tmp_path / "rows.parquet")["error"].tolist() == ["caf\\udce9.png: damaged"]


def test_a_table_without_rows_has_its_columns(tmp_path):
    """An empty run is written with all columns."""
    assert write_parquet([], tmp_path / "rows.parquet") == 0
    assert list(pd.read_parquet(tmp_path / "rows.parquet").columns) == list(COLUMNS)


def test_means_skip_undefined_values():
    """The mean of 1, 3 and None is 2; models and methods have separate means."""
    means = Means()
    means.add(
        [
            stored_row(value=1.0),
            stored_row(value=3.0),
            stored_row(value=None),
            stored_row(method="x", metric="road", value=5.0),
        ]
    )

    assert means.found() == {("m", "grad-cam"): {"increase": 2.0}, ("m", "x"): {"road": 5.0}}


def test_lines_are_json(path):
    """A line has the columns of the image once."""
    Journal(path).append([stored_row(), stored_row(metric="road")])
    (line,) = path.read_text().splitlines()

    content = json.loads(line)
    assert (content["model"], content["image"], len(content["rows"])) == ("m", "a", 2)
    assert "image" not in content["rows"][0]
