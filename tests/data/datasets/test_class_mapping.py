"""Test the mapping of categories to class indices."""

from __future__ import annotations

import pytest

from dataset_files import BIRD, FISH, write
from fusioncam.data.datasets.class_mapping import network_classes, synset_indices
from fusioncam.errors import DatasetError


def test_the_order_of_all_wordnet_ids():
    """The first, one in between and the last id have the indices that every ImageNet model uses."""
    indices = synset_indices()

    assert len(indices) == 1000
    assert [indices[synset] for synset in (FISH, BIRD, "n02123045", "n15075141")] == [0, 7, 281, 999]
    assert sorted(indices) == list(indices)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,dog\n", None),
        ("0,dog\ndog,1\n", r"map\.csv, line 2: expected class index,category, got 'dog,1'"),
        ("0,dog,cat\n", "line 1: expected class index,category"),
        ("index,category\n", "expected lines of class index,category, found none"),
        ("5,dog\n", r"the class map must have indices of 5 classes for 'dog', got \[5\]"),
    ],
)
def test_damaged_class_maps_are_reported(rows, message, tmp_path):
    """The message names the file, the line and the content."""
    path = write(tmp_path / "map.csv", rows)

    with pytest.raises(DatasetError, match=message or "found none"):
        network_classes(5, None, path)


def test_class_maps_given_as_mappings():
    """A class map has integers or lists of them; empty lists and negative indices are errors."""
    assert network_classes(5, None, {"dog": 1, "cat": [2, 3]}).class_map == {"dog": (1,), "cat": (2, 3)}
    for wrong in ({"dog": []}, {"dog": -1}):
        with pytest.raises(DatasetError, match="must have indices of 5 classes for 'dog'"):
            network_classes(5, None, wrong)
