"""Test the deterministic k-means."""

from __future__ import annotations

import torch

from fusioncam.functional.kmeans import k_means


def test_separate_groups_are_found():
    """Rows around three distant centres get three labels."""
    rows = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.1, 0.0], [9.1, 0.0], [0.0, 9.0]])

    first, second, third, fourth, fifth = k_means(rows, 3).tolist()

    assert first == third
    assert second == fourth
    assert len({first, second, fifth}) == 3


def test_more_groups_than_distinct_rows():
    """Equal rows share a group, so groups may stay empty."""
    assert k_means(torch.ones(4, 2), 3).tolist() == [0, 0, 0, 0]
