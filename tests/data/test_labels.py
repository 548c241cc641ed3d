"""Test finding classes by name, and reading class names."""

from __future__ import annotations

import pytest

from fusioncam.data.labels import find_class, imagenet_labels, of_subset, read_labels
from fusioncam.errors import TargetError


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("tench", 0),
        ("tiger cat", 282),
        ("Tiger Cat", 282),
        ("  tiger cat ", 282),
        ("tabby", 281),
        ("tabby cat", 281),
        ("tabby, tabby cat", 281),
        ("toilet tissue", 999),
        ("African elephant", 386),
        ("TUSKER", 101),
    ],
)
def test_names_and_synonyms_are_found(name, index):
    """A class is found by its whole label or any of its synonyms, in any case."""
    assert find_class(name, imagenet_labels()) == index


@pytest.mark.parametrize(
    ("name", "indices"), [("crane", (134, 517)), ("missile", (657, 744)), ("polecat", (358, 361))]
)
def test_a_name_of_two_classes_is_reported(name, indices):
    """The error lists the classes with their indices."""
    with pytest.raises(TargetError, match=f"'{name}' is the name of 2 classes") as caught:
        find_class(name, imagenet_labels())
    assert all(str(index) in str(caught.value) for index in indices)
    assert "give the index" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("tigercat", "tiger cat"),
        ("zebre", "zebra"),
        ("expresso", "espresso"),
        ("golden retreiver", "golden retriever"),
        ("cat", "cat'"),
        ("elephant", "elephant"),
    ],
)
def test_the_nearest_class_name_is_suggested(name, near):
    """The error for a misspelt or partial name suggests a class."""
    with pytest.raises(TargetError, match=f"the network has no class '{name}'") as caught:
        find_class(name, imagenet_labels())
    suggested = str(caught.value).partition("did you mean '")[2].partition("?")[0]
    assert near in suggested


@pytest.mark.parametrize("name", ["", "  ", "qqqqqq", ",", "282"])
def test_a_name_of_no_class_is_reported(name):
    """An empty text, a comma and a number are not names."""
    with pytest.raises(TargetError, match="the network has no class"):
        find_class(name, imagenet_labels())


def test_the_list_of_names_in_the_error_is_short():
    """The error for a network of 1,000 classes does not list them all."""
    with pytest.raises(TargetError) as caught:
        find_class("qqqqqq", imagenet_labels())
    assert len(str(caught.value)) < 400


def test_imagenets_names_are_in_the_usual_order():
    """Index 0 is the tench, 281 the tabby, 999 the toilet tissue."""
    labels = imagenet_labels()
    assert len(labels) == 1000
    assert [labels[n].split(",")[0] for n in (0, 281, 999)] == ["tench", "tabby", "toilet tissue"]


def test_other_subsets_have_their_own_count():
    """The 12k subset has one name per class."""
    assert len(of_subset("imagenet-12k")) == 11821


# -- files of names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"oak\nred beech\n\xc3\xa9lan\n", b"oak\r\nred beech\r\n\xc3\xa9lan", b"  oak \nred beech\t\n\xc3\xa9lan\n\n\n"],
    ids=["unix", "windows", "spaces"],
)
def test_files_of_names_are_read(content, tmp_path):
    """A file has one name per line, with any line endings and surrounding spaces."""
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    assert read_labels(path) == ("oak", "red beech", "élan")


def test_a_byte_order_mark_is_not_part_of_the_first_name(tmp_path):
    """Windows editors write a byte order mark at the start of a file."""
    path = tmp_path / "names.txt"
    path.write_bytes(b"\xef\xbb\xbfoak\nbeech\n")
    assert read_labels(path) == ("oak", "beech")


@pytest.mark.parametrize("content", [b"\xff\xfeo\x00a\x00", b"\xe9lan\n"], ids=["utf-16", "latin-1"])
def test_a_file_in_another_encoding_is_reported(content, tmp_path):
    """The error names the file and the expected encoding."""
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with pytest.raises(TargetError, match=r"names\.txt.*utf-8"):
        read_labels(path)


def test_a_missing_file_is_reported(tmp_path):
    """The error names a path that does not exist or is a folder."""
    with pytest.raises(TargetError, match=r"nope\.txt"):
        read_labels(tmp_path / "nope.txt")
    with pytest.raises(TargetError, match=tmp_path.name):
        read_labels(tmp_path)
