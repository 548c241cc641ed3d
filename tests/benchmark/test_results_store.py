"""Rows: none is lost, none is there twice, and other tools read them."""

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

from fusioncam.benchmark.results_store import COLUMNS, Journal, Means, in_order, merged, write_parquet
from fusioncam.errors import OutputError, ResultsError
from runs import stored_row

resource = pytest.importorskip("resource")


@contextmanager
def full_disk(size):
    """Let files grow no further than this."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def path(tmp_path):
    """Where rows go."""
    return tmp_path / "rows.jsonl"


def test_what_is_written_is_read_again(path):
    """Rows come back as they were, also without the object that wrote them."""
    curve = [0.1, None, 1e-300]
    rows = [
        stored_row(value=1 / 3, curve=curve, target=3, label=None),
        stored_row(metric="road", value=None, target=3),
    ]
    journal = Journal(path)
    assert journal.rows("m", "a") == []
    journal.append(rows)
    journal.append([stored_row("ä\n\udcff", value=-0.0)])

    for one in (journal, Journal(path)):
        assert one.rows("m", "a") == rows
        assert one.done["m", "a"] == {("grad-cam", "increase"), ("grad-cam", "road")}
    assert [image for _, image in Journal(path).images()] == ["a", "ä\n\udcff"]


def test_a_line_that_was_cut_off_is_no_line(path, monkeypatch):
    """Wherever a killed run stopped writing, whole lines stay, and the next run writes behind them."""
    monkeypatch.setattr("os.fsync", lambda file: None)  # it takes its time, and no power fails here
    journal = Journal(path)
    for image in "abc":
        journal.append([stored_row(image), stored_row(image, metric="road")])
    whole = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    near = (end + step for end in ends for step in (-1, 0, 1))
    for length in sorted({*range(0, len(whole), 29), *near}):
        path.write_bytes(whole[:length])
        kept = "abc"[: sum(end <= length for end in ends)]

        again = Journal(path)
        assert [image for _, image in again.images()] == list(kept)
        for image in "abc"[len(kept) :]:
            again.append([stored_row(image), stored_row(image, metric="road")])
        assert path.read_bytes() == whole


def test_a_long_rest_is_written_over_whole(path):
    """Nothing of it stays behind a shorter line."""
    Journal(path).append([stored_row("a")])
    path.write_bytes(path.read_bytes() + b"x" * 5000)
    Journal(path).append([stored_row("b")])

    assert Journal(path).rows("m", "b") == [stored_row("b")]
    assert b"x" * 50 not in path.read_bytes()


@pytest.mark.parametrize("damage", [b"{}\n", b"nothing\n", b"\n", b'{"rows": []}\n', b"[1]\n", b"\xff\n"])
def test_damage_within_is_told(path, damage):
    """A whole line that is none is no work of a killed run."""
    Journal(path).append([stored_row()])
    path.write_bytes(path.read_bytes() + damage)
    with pytest.raises(ResultsError, match=r"line 2 of .*rows\.jsonl is damaged"):
        Journal(path)


def test_a_full_disk_leaves_what_was_written(path):
    """The error says what is the matter, and with room again the same rows are written."""
    journal = Journal(path)
    journal.append([stored_row("a")])
    with (
        full_disk(path.stat().st_size + 20),
        pytest.raises(OutputError, match=r"cannot write .* the same command goes on"),
    ):
        journal.append([stored_row("b")])

    assert path.stat().st_size > 0
    for one in (journal, Journal(path)):
        assert one.images() == [("m", "a")]
    journal.append([stored_row("b")])
    assert Journal(path).rows("m", "b") == [stored_row("b")]


def test_a_full_disk_leaves_the_old_parquet(tmp_path):
    """The final form is the old one or the new one."""
    path = tmp_path / "rows.parquet"
    write_parquet([stored_row("a")], path)
    old = path.read_bytes()
    with full_disk(100), pytest.raises(OutputError, match="cannot write"):
        write_parquet([stored_row("b")], path)

    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_but_numbers_of_json(path):
    """NaN is no JSON, and is refused before a byte is written."""
    with pytest.raises(ValueError, match="JSON"):
        Journal(path).append([stored_row(value=float("nan"))])
    assert not path.exists()


def test_a_new_try_takes_the_place_of_an_error():
    """Errors of an image or method are forgotten when it is tried again, those of others stay."""
    failed = stored_row(method="", metric="", value=None, error="unreadable")
    broken = stored_row(method="cam", metric="", value=None, error="no head")

    assert merged([[failed], [stored_row()]]) == [stored_row()]
    assert merged([[failed], [failed | {"error": "again"}]]) == [failed | {"error": "again"}]
    assert merged([[stored_row(), broken], [stored_row(method="layer-cam")]]) == [
        stored_row(),
        broken,
        stored_row(method="layer-cam"),
    ]
    assert merged([[stored_row(), broken], [stored_row(method="cam")]]) == [stored_row(), stored_row(method="cam")]
    assert merged([[stored_row(value=None, error="NaN")], [stored_row()]]) == [stored_row()]
    assert merged([[stored_row()], [failed]]) == [stored_row(), failed]
    assert merged([]) == []


def test_what_failed_is_not_done(path):
    """It is tried again by the next run; what is undefined is not."""
    journal = Journal(path)
    journal.append([stored_row(value=None), stored_row(metric="road", value=None, error="no")])
    journal.append([stored_row("b", method="", metric="", value=None, error="no")])

    assert journal.done["m", "a"] == {("grad-cam", "increase")}
    assert journal.done["m", "b"] == frozenset()


@given(st.permutations(range(6)))
def test_the_order_of_rows_is_that_of_the_plan(tmp_path_factory, order):
    """However they came, they are listed by image, method and metric; what is not asked for is left out."""
    path = tmp_path_factory.mktemp("run") / "rows.jsonl"
    wanted = [stored_row(p, method, metric) for p in "ab" for method in ("y", "x") for metric in ("road", "increase")]
    extra = [stored_row("a", "z"), stored_row("c"), stored_row("a", "y", "other")]
    lines = [wanted[:2], wanted[2:4], wanted[4:7], [wanted[7], extra[0]], [extra[1]], [extra[2]]]
    journal = Journal(path)
    for place in order:
        journal.append(lines[place])

    assert list(in_order(journal, [("m", "a"), ("m", "b")], ["y", "x"], ["road", "increase"])) == wanted


def test_parquet_has_types_and_others_read_it(tmp_path):
    """pandas, polars and duckdb see the same values; a column of nothing keeps its type."""
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


def test_bytes_that_are_no_text_are_written_as_escapes(tmp_path):
    """A file's name may be no text, and Parquet has nothing else."""
    write_parquet([stored_row(error="caf\udce9.png: damaged")], tmp_path / "rows.parquet")

    assert pd.read_parquet(tmp_path / "rows.parquet")["error"].tolist() == ["caf\\udce9.png: damaged"]


def test_no_rows_are_a_table_too(tmp_path):
    """An empty run has its columns."""
    assert write_parquet([], tmp_path / "rows.parquet") == 0
    assert list(pd.read_parquet(tmp_path / "rows.parquet").columns) == list(COLUMNS)


def test_means_leave_out_what_is_undefined():
    """Of 1, 3 and nothing the mean is 2; models and methods are apart."""
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


def test_lines_are_json_of_any_reader(path):
    """A line names its image once."""
    Journal(path).append([stored_row(), stored_row(metric="road")])
    (line,) = path.read_text().splitlines()

    facts = json.loads(line)
    assert (facts["model"], facts["image"], len(facts["rows"])) == ("m", "a", 2)
    assert "image" not in facts["rows"][0]
