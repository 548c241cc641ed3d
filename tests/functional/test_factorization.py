"""Non-negative factors."""

from __future__ import annotations

import torch

from fusioncam.functional.factorization import non_negative_factors


def test_factors_of_a_product_reproduce_it():
    """Two parts on different rows and columns are found as they are, for each matrix of a batch."""
    left = torch.tensor([[2.0, 0], [1, 0], [0, 3], [0, 1]], dtype=torch.float64)
    right = torch.tensor([[1.0, 0, 2, 0, 0], [0, 1, 0, 1, 3]], dtype=torch.float64)
    values = torch.stack([left @ right, (left @ right).flip(1)])

    found = non_negative_factors(values, 2)

    assert all(part.min() >= 0 for part in found)
    torch.testing.assert_close(found[0] @ found[1], values, atol=1e-6, rtol=0)


def test_the_rank_is_at_most_the_smaller_side_and_the_error_falls_with_it():
    """Of random matrices."""
    values = torch.rand(1, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = []
    for rank in (1, 2, 3, 9):
        left, right = non_negative_factors(values, rank)
        assert left.shape == (1, 6, min(rank, 4))
        errors.append(float((left @ right - values).norm()))

    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 3


def test_a_matrix_of_zeros_stays_one():
    """Without NaN."""
    left, right = non_negative_factors(torch.zeros(1, 3, 4), 2)

    assert (left @ right).abs().max() < 1e-6
