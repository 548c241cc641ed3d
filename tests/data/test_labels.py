"""Which class a name means, and where names come from."""

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
    """A class is found by its whole label or any of its names, upper and lower case alike."""
    assert find_class(name, imagenet_labels()) == index


@pytest.mark.parametrize(
    ("name", "indices"), [("crane", (134, 517)), ("missile", (657, 744)), ("polecat", (358, 361))]
)
def test_a_name_of_two_classes_is_told(name, indices):
    """The error names each of the classes, so that the caller can give an index."""
    with pytest.raises(TargetError, match=f"'{name}' names 2 classes") as caught:
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
def test_a_slip_is_answered_with_the_nearest_name(name, near):
    """A misspelt name or a part of a name is answered with a class that was probably meant."""
    with pytest.raises(TargetError, match=f"'{name}' is no class of this network") as caught:
        find_class(name, imagenet_labels())
    suggested = str(caught.value).partition("did you mean '")[2].partition("?")[0]
    assert near in suggested


@pytest.mark.parametrize("name", ["", "  ", "qqqqqq", ",", "282"])
def test_nonsense_is_no_class(name):
    """An empty text, a comma or a number is no name."""
    with pytest.raises(TargetError, match="is no class"):
        find_class(name, imagenet_labels())


def test_the_list_of_names_is_not_a_flood():
    """An error about 1,000 classes stays a few lines long."""
    with pytest.raises(TargetError) as caught:
        find_class("qqqqqq", imagenet_labels())
    assert len(str(caught.value)) < 400


def test_imagenets_names_are_in_the_usual_order():
    """Index 0 is the tench, 281 the tabby, 999 the toilet tissue."""
    labels = imagenet_labels()
    assert len(labels) == 1000
    assert [labels[n].split(",")[0] for n in (0, 281, 999)] == ["tench", "tabby", "toilet tissue"]


def test_other_subsets_have_their_own_count():
    """ImageNet-22k and the 12k subset give as many names as classes."""
    assert len(of_subset("imagenet-12k")) == 11821


# -- files of names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"oak\nred beech\n\xc3\xa9lan\n", b"oak\r\nred beech\r\n\xc3\xa9lan", b"  oak \nred beech\t\n\xc3\xa9lan\n\n\n"],
    ids=["unix", "windows", "spaces"],
)
def test_files_of_names_are_read(content, tmp_path):
    """One name a line, whatever the line ends and the spaces around."""
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    assert read_labels(path) == ("oak", "red beech", "élan")


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    """Windows editors put a mark before the text: the first class is found all the same."""
    path = tmp_path / "names.txt"
    path.write_bytes(b"\xef\xbb\xbfoak\nbeech\n")
    assert read_labels(path) == ("oak", "beech")


@pytest.mark.parametrize("content", [b"\xff\xfeo\x00a\x00", b"\xe9lan\n"], ids=["utf-16", "latin-1"])
def test_a_file_in_another_encoding_is_told(content, tmp_path):
    """The error names the file and the encoding that was expected."""
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with pytest.raises(TargetError, match=r"names\.txt.*utf-8"):
        read_labels(path)


def test_a_missing_file_is_told(tmp_path):
    """A path that is not there, and a folder, are told by name."""
    with pytest.raises(TargetError, match=r"nope\.txt"):
        read_labels(tmp_path / "nope.txt")
    with pytest.raises(TargetError, match=tmp_path.name):
        read_labels(tmp_path)
