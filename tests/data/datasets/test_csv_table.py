"""Test CSV tables of images, labels and boxes."""

from __future__ import annotations

import pytest

from dataset_files import BIRD, names, write
from fusioncam.data.datasets.registry import open_dataset
from fusioncam.errors import DatasetError
from samples import LABELS


@pytest.fixture
def images(tmp_path):
    """Return a folder with images for tables."""
    for name in ("a.jpg", "b, c.jpg", "d/e.jpg"):
        write(tmp_path / name)
    return tmp_path


def test_csv_table(images):
    """A table may have a header, quoted paths, class indices and names; boxes of one image are grouped."""
    rows = 'a.jpg,3,1,1,4,3.5\n"b, c.jpg",elm,,,,\nd/e.jpg,,,,,\n\na.jpg,3,5,5,6,6\na.jpg,birch\n'
    for text in (rows, "path,label,x0,y0,x1,y1\n" + rows, "\ufeffPath,Label,x0,y0,x1,y1\r\n" + rows):
        samples = open_dataset(write(images / "t.csv", text), labels=LABELS)
        assert names(samples) == ["a.jpg#3", "b, c.jpg", "d/e.jpg", "a.jpg#birch"]
        assert [sample.label for sample in samples] == [3, 4, None, 1]
        assert samples[0].boxes == ((1, 1, 4, 3.5), (5, 5, 6, 6))
        assert samples[1].open().size == (8, 6)


def test_csv_tables_in_folders(images):
    """The one table that begins with path,label is found in a folder; other tables are ignored."""
    write(images / "colours.csv", "red,1\n")
    assert open_dataset(images).kind.startswith("a folder of 3 images")
    write(images / "t.csv", "label,path\n1,a.jpg\n")
    assert open_dataset(images / "t.csv")[0].label == 1
    write(images / "t.csv", "path,label\na.jpg,1\n")
    assert open_dataset(images)[0].label == 1

    write(images / "u.csv", "path,label\na.jpg,1\n")
    with pytest.raises(DatasetError, match=r"2 files \*\.csv begin with path,label"):
        open_dataset(images)


def test_labels_of_csv_tables_by_class_map_and_wordnet_id(images):
    """Labels are matched as categories are, except by position."""
    table = write(images / "t.csv", f"a.jpg,{BIRD}\nd/e.jpg,tree\n")

    assert [sample.classes for sample in open_dataset(table, class_map={BIRD: 3, "tree": [0, 1]})] == [(3,), (0, 1)]
    with pytest.raises(DatasetError, match=r"1 of 2 categories are not classes of the network \(tree\)"):
        open_dataset(table)
    with pytest.raises(DatasetError, match=r"2 of 2 categories are not classes of the network \(stone, tree\)"):
        open_dataset(write(images / "u.csv", "a.jpg,stone\nd/e.jpg,tree\n"), classes=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg,1\nno.jpg,1\n", r"t\.csv, line 2: no such file: .*no\.jpg"),
        ("a.jpg,5\n", r"t\.csv, line 1: there is no class 5 of 5 classes; indices start at 0"),
        ("a.jpg,1\na.jpg,-1\n", r"t\.csv, line 2: there is no class -1 of 5 classes"),
        ("a.jpg,oak\n", r"t\.csv: 1 of 1 categories are not classes of the network \(oak\)"),
        ("a.jpg,1,1,1,4\n", r"line 1: expected path,label,x0,y0,x1,y1, got 'a\.jpg,1,1,1,4'"),
        ("a.jpg,1,4,1,4,3\n", "line 1: a box must be x0,y0,x1,y1 with x0 < x1 and y0 < y1, got '4,1,4,3'"),
        ("a.jpg,1,1,1,inf,3\n", "line 1: a box must be .* got '1,1,inf,3'"),
        ("a.jpg,1,1,one,4,3\n", "line 1: a box must be .* got '1,one,4,3'"),
        ("a.jpg,1,1,,4,3\n", "line 1: a box must be .* got '1,,4,3'"),
        (",1\n", "line 1: expected path,label,x0,y0,x1,y1, got ',1'"),
        ("path,label,weight\na.jpg,1,2\n", "line 1: the columns must be among path, label, .* got weight"),
        ("path,label\na.jpg,1,2\n", "line 2: expected path,label, got 'a.jpg,1,2'"),
        ("path,label\n", "expected lines of path,label, found none"),
        ("", "expected lines of path,label, found none"),
        ('a.jpg,"1\n', r"t\.csv, line 1: unexpected end of data"),
    ],
)
def test_damaged_csv_tables_are_reported(text, message, images):
    """The message names the file, the line and the content."""
    with pytest.raises(DatasetError, match=message):
        open_dataset(write(images / "t.csv", text), labels=LABELS)


def test_a_csv_table_that_is_not_utf8_is_reported(images):
    """The message names the file and the encoding."""
    (images / "t.csv").write_bytes(b"a.jpg,\xff\n")

    with pytest.raises(DatasetError, match=r"t\.csv is not UTF-8 text"):
        open_dataset(images / "t.csv")
