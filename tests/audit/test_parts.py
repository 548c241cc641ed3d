"""Clusters, regions, suspects and the comparison of two networks, on heat that is made up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusioncam.audit import clusters
from fusioncam.audit.classes import summarise, summarise_classes
from fusioncam.audit.clusters import heat_clusters
from fusioncam.audit.heat import EVEN, border_share, corner_share, grid_of, similarity, spread
from fusioncam.audit.images import DataImage
from fusioncam.audit.records import Record
from fusioncam.audit.regions import as_mask, distinct_region, highlighted, moved, place_of
from fusioncam.audit.removal import RemovalJob, removal_of
from fusioncam.audit.suspects import find_suspects, outcome_of
from stamps import SIDE, reader, square, stamped

SIZE = 14


def blob(row, column, seed=0, width=1.5):
    """Return heat around a cell, with a little noise."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    heat = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2))
    heat = heat + 0.01 * np.random.default_rng(seed).random((SIZE, SIZE))
    return heat / heat.sum()


def record(target, grid, seed, **known):
    """Return the record of an image with this heat."""
    fixed = {"probability": 0.9, "categories": [], "right": True, "border": 0.0, "corner": 0.0}
    known = {"on_object": None, "object_area": None} | known
    return Record(f"{target}/{seed}", target, f"class {target}", grid=grid, **fixed, **known)


def centred(target, count=8):
    """Return the records of a class whose heat is near the centre."""
    positions = np.random.default_rng(target).normal(6.5, 1.5, (count, 2))
    return [record(target, blob(*positions[n], n, 2.5), n) for n in range(count)]


# -- heat ----------------------------------------------------------------------------------------------------------


def test_even_heat_has_the_stated_shares():
    """A tenth of each side is 36 % of the image, and a quarter of each side 6 %."""
    even = torch.ones(40, 80)
    assert border_share(even) == pytest.approx(EVEN["border"])
    assert corner_share(even) == pytest.approx(EVEN["corner"])
    assert grid_of(even).shape == (SIZE, SIZE)
    assert grid_of(even).sum() == pytest.approx(1)


def test_flat_heat_is_nowhere():
    """Zeros have no shares and no similarity, and there is no division by zero."""
    zeros = torch.zeros(20, 20)
    assert (corner_share(zeros), grid_of(zeros).sum(), similarity(grid_of(zeros), blob(3, 3))) == (0, 0, 0)


def test_spread_grows_with_the_distance():
    """Heat at one place is alike; at several it is not."""
    near, far = (np.stack([blob(6, column, 1) for column in columns]) for columns in ((6, 7), (1, 12)))
    assert spread(near) < 0.2 < spread(far)


# -- clusters ------------------------------------------------------------------------------------------------------


def groups_of(sizes):
    """Return grids with heat at another corner for each of the sizes."""
    places = [(2, 2), (11, 11), (2, 11)]
    return np.stack([blob(*place, seed) for place, size in zip(places, sizes, strict=False) for seed in range(size)])


@pytest.mark.parametrize("sizes", [(20, 9), (9, 20), (12, 10, 9)])
def test_places_become_clusters(sizes):
    """Each place is one cluster, numbered by its size."""
    found = heat_clusters(groups_of(sizes))
    parts = np.split(found, np.cumsum(sizes)[:-1])
    assert [len(set(part.tolist())) for part in parts] == [1] * len(sizes)
    by_size = sorted(range(len(sizes)), key=lambda n: -sizes[n])
    assert [parts[n][0] for n in by_size] == list(range(len(sizes)))


def test_one_place_is_one_cluster():
    """Images that are alike, and few images, are not divided."""
    assert set(heat_clusters(groups_of([30])).tolist()) == {0}
    assert heat_clusters(groups_of([2, 2])).tolist() == [0] * 4
    assert heat_clusters(np.zeros((9, SIZE, SIZE))).shape == (9,)


def test_many_images_join_the_nearest_cluster(monkeypatch):
    """Only a part is clustered directly."""
    monkeypatch.setattr(clusters, "_DIRECT", 30)
    found = heat_clusters(groups_of((80, 40)))
    assert found.tolist() == [0] * 80 + [1] * 40


# -- regions -------------------------------------------------------------------------------------------------------


def test_highlighted_cells_are_a_fifth():
    """The cells with the most heat, also if all are equal."""
    assert highlighted(blob(3, 3)).sum() == round(0.2 * SIZE**2)
    assert highlighted(blob(3, 3))[3, 3]
    assert highlighted(np.zeros((SIZE, SIZE))).sum() == round(0.2 * SIZE**2)


def test_distinct_region_is_where_others_have_less():
    """A corner that only this class highlights, although the centre has as much heat."""
    region = distinct_region((blob(12, 1) + blob(6, 6)) / 2, blob(6, 6))
    assert region[12, 1]
    assert not region[6, 6]
    assert place_of(region) == "the lower left corner"
    assert not distinct_region(blob(6, 6), blob(6, 6)).any()


def test_moved_regions_are_equally_large_elsewhere():
    """They have the same number of cells, hardly overlap, and are the same at every call."""
    region = distinct_region(blob(12, 1), blob(6, 6))
    others = moved(region, 4)
    assert [other.sum() for other in others] == [region.sum()] * 4
    assert all((other & region).sum() <= 0.1 * region.sum() for other in others)
    assert all((one == other).all() for one, other in zip(others, moved(region, 4), strict=True))
    assert moved(np.ones((3, 3), bool), 1)[0].all()  # it fits nowhere else


def test_mask_removes_the_region():
    """A cell is its part of the pixels."""
    region = np.zeros((SIZE, SIZE), bool)
    region[0, -1] = True
    mask = as_mask(region, (28, 56))
    assert mask.shape == (28, 56)
    assert (mask == 0).sum() == 2 * 4
    assert not mask[:2, -4:].any()


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ((0, 0), "the upper left corner"),
        ((0, 6), "the upper edge"),
        ((6, 13), "the right edge"),
        ((7, 7), "the centre"),
    ],
)
def test_places_have_names(cell, words):
    """Thirds of the image."""
    region = np.zeros((SIZE, SIZE), bool)
    region[cell] = True
    assert place_of(region) == words
    assert place_of(region & False) == "nowhere"


# -- suspects ------------------------------------------------------------------------------------------------------


def test_class_with_heat_in_a_corner_is_suspected():
    """The other classes, with heat near the centre, are not; nor is a class with few images."""
    marked = [record(0, blob(12, 1, n), n) for n in range(8)]
    records = [*marked, *centred(1), *centred(2), *centred(3), *[record(4, blob(1, 1, n), n) for n in range(3)]]
    summarise_classes(records)
    (suspect,) = find_suspects(records)
    assert [one.target for one in suspect.records] == [0] * 8
    assert suspect.share > 0.8 > 0.05 > suspect.usual
    assert suspect.shown_region[12, 1]


def test_place_that_many_classes_share_is_not_suspected():
    """Half of the classes have heat in the same corner."""
    records = [one for target in (0, 1) for one in [record(target, blob(12, 1, n), n) for n in range(8)]]
    records += [*centred(2), *centred(3)]
    summarise_classes(records)
    assert [one for one in find_suspects(records) if one.shown_region[12, 1]] == []


def test_place_on_the_object_is_not_suspected():
    """If masks show that the object is in the corner, heat belongs there."""
    mask = np.zeros((SIZE, SIZE))
    mask[9:, :5] = 1
    known = {"on_object": 0.9, "object_area": 0.1, "object_grid": mask}
    records = [*[record(0, blob(12, 1, n), n, **known) for n in range(8)], *centred(1), *centred(2)]
    summarise_classes(records)
    assert find_suspects(records) == []


def test_small_cluster_within_a_class_is_suspected():
    """Ten of thirty images have the mark; the region is found in their cluster only."""
    marked = [record(0, blob(12, 1, n), 100 + n) for n in range(10)]
    records = [*centred(0, 20), *marked, *centred(1), *centred(2)]
    summarise_classes(records)
    suspects = find_suspects(records)
    assert [len(one.records) for one in suspects] == [10]
    assert {one.image for one in suspects[0].records} == {one.image for one in marked}


def test_tests_confirm_only_what_matters_more_than_elsewhere():
    """The effect is the difference between both removals."""
    strong = {"whole": 0.9, "without": 0.2, "elsewhere": 0.8, "below": 1.0}
    weak = {"whole": 0.9, "without": 0.75, "elsewhere": 0.8, "below": 1.0}
    assert outcome_of([strong, strong])["effect"] == pytest.approx(0.6)
    assert outcome_of([strong])["confirmed"]
    assert not outcome_of([weak])["confirmed"]
    assert not outcome_of([strong | {"below": 0.5}])["confirmed"]
    assert outcome_of([])["tested"] == 0


def test_removal_of_the_stamp_takes_the_decision(tmp_path):
    """The square, which has no influence, may be removed."""
    image, _ = square("red", 0)
    stamped(image).save(tmp_path / "a.png")
    region = np.zeros((SIZE, SIZE), bool)
    region[10:, 10:] = True
    found = DataImage("", "a.png", "a.png", tmp_path / "a.png")
    result = removal_of(reader(), RemovalJob(found, 0, region))
    assert result["whole"] == pytest.approx(result["elsewhere"], abs=0.02)
    assert result["without"] < 0.4
    assert result["below"] == 1
    assert SIDE == 4 * SIZE


# -- classes -------------------------------------------------------------------------------------------------------


def test_odd_images_are_unlike_the_mean():
    """The image with its heat elsewhere is the first of the odd ones, and no typical one."""
    records = [*[record(0, blob(6, 6, n), n) for n in range(6)], record(0, blob(1, 12), 9)]
    row = summarise(records)
    assert row["odd"][0] == "0/9"
    assert "0/9" not in row["typical"]
    assert not set(row["odd"]) & set(row["typical"])


def test_right_and_wrong_predictions_are_compared():
    """Heat of wrong predictions lies elsewhere, and off the object."""
    right = [record(0, blob(6, 6, n), n, on_object=0.8) for n in range(3)]
    wrong = [record(0, blob(1, 1, n), n + 3, on_object=0.1) for n in range(3)]
    for one in wrong:
        one.right = False
    row = summarise([*right, *wrong])
    assert (row["right"], row["wrong"], row["share_right"]) == (3, 3, 0.5)
    assert (row["on_object_right"], row["on_object_wrong"]) == (0.8, 0.1)
    assert row["similarity_right_wrong"] < 0.1
    assert summarise(right)["similarity_right_wrong"] is None
