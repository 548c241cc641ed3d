"""Test linear imputation by hand, against a dense solver, and by its properties."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusioncam.functional import imputation
from fusioncam.functional.imputation import Imputation, impute_linearly, neighbour_mean
from twins import metrics as twins


def image(*size, seed=0, dtype=torch.float64):
    """Return images of random pixels."""
    return torch.randn(*size, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def known_pixels(size, share, seed=0):
    """Return which pixels are known ``(1, *size)``; ``share`` of them are missing."""
    return torch.rand(1, *size, generator=torch.Generator().manual_seed(seed)) >= share


def test_one_missing_pixel_by_hand():
    """Weights are 1/6 on a side and 1/12 on a corner; at the border the neighbours inside share the weight."""
    x = torch.tensor([[0.0, 6.0, 0.0], [12.0, 99.0, 0.0], [0.0, 0.0, 24.0]])[None, None]
    middle, corner = torch.ones(2, 1, 3, 3, dtype=torch.bool).unbind(0)
    middle[0, 1, 1], corner[0, 0, 0] = False, False

    assert float(impute_linearly(x, middle)[0, 0, 1, 1]) == pytest.approx(6 / 6 + 12 / 6 + 24 / 12)
    assert float(impute_linearly(x, corner)[0, 0, 0, 0]) == pytest.approx(
        (6 / 6 + 12 / 6 + 99 / 12) / (1 / 6 + 1 / 6 + 1 / 12)
    )


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("size", [(12,), (8, 8), (9, 12), (1, 7), (6, 5, 4)], ids=str)
def test_imputation_solves_the_system(size, share):
    """The result equals Gaussian elimination of the paper's equations."""
    x = image(1, 2, *size)
    known = known_pixels(size, share, seed=3)
    assert not known.all()

    found = impute_linearly(x, known)[0]

    missing = [tuple(index.tolist()) for index in (~known[0]).nonzero()]
    torch.testing.assert_close(found, twins.imputed(x[0], missing), atol=1e-4, rtol=0)


@pytest.mark.parametrize("sides", [(40, 61), (224, 224)], ids=str)
def test_large_holes_take_few_steps(sides, monkeypatch):
    """With the multilevel preconditioner 50 steps suffice; plain conjugate gradients need hundreds."""
    monkeypatch.setattr(imputation, "_MAX_STEPS", 50)
    x = image(1, 1, *sides, dtype=torch.float32)
    known = torch.zeros(1, *sides, dtype=torch.bool)
    known[:, : sides[0] // 10] = True

    filled = impute_linearly(x, known)

    inside = ~known[:, None]
    total = neighbour_mean(torch.ones_like(filled))
    residual = (neighbour_mean(filled) - total * filled)[inside]
    right = neighbour_mean(filled * ~inside)[inside]
    assert residual.norm() <= 1e-4 * right.norm()


def test_known_pixels_are_unchanged_and_a_plane_is_continued():
    """Known pixels are unchanged, and a plane is imputed as the plane."""
    rows, columns = torch.meshgrid(torch.arange(10.0), torch.arange(12.0), indexing="ij")
    plane = (2 * rows - 3 * columns + 1)[None, None].double()
    known = torch.ones(1, 10, 12, dtype=torch.bool)
    known[:, 2:8, 3:11] = False

    filled = impute_linearly(plane, known)

    assert filled[0, 0][known[0]].equal(plane[0, 0][known[0]])
    torch.testing.assert_close(filled, plane, atol=1e-3, rtol=0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 0.95), st.floats(-3, 3), st.floats(0.1, 4))
def test_imputation_is_a_mean(seed, share, shift, factor):
    """Imputed pixels stay in the range of the known ones, and follow a shift and a factor of the image."""
    x, known = image(1, 1, 7, 9, seed=seed), known_pixels((7, 9), share, seed)
    if known.any():
        values, filled = x[0, 0][known[0]], impute_linearly(x, known)

        assert filled.min() >= values.min() - 1e-3
        assert filled.max() <= values.max() + 1e-3
        torch.testing.assert_close(
            impute_linearly(factor * x + shift, known), factor * filled + shift, atol=1e-3, rtol=0
        )


def test_batch_equals_single_images():
    """Other images of the batch change nothing, also one without any known pixel."""
    x = image(4, 3, 11, 8, dtype=torch.float32)
    known = torch.cat([known_pixels((11, 8), share, seed=2) for share in (0.0, 0.2, 0.95, 1.1)])

    together = impute_linearly(x, known)

    for n in range(4):
        torch.testing.assert_close(
            together[n : n + 1], impute_linearly(x[n : n + 1], known[n : n + 1]), atol=1e-6, rtol=0
        )
    assert together[0].equal(x[0])
    assert not together[3].any()


def test_noise_is_small_and_equal_for_all_images():
    """The noise depends on the seed only, and is 0 with ``noise=0``."""
    x, known = image(2, 3, 6, 6, dtype=torch.float32), known_pixels((6, 6), 0.5).expand(2, 6, 6)

    plain, noisy, other = (Imputation(*settings_)(x, known.float()) for settings_ in ((0, 0), (0.01, 0), (0.01, 1)))

    assert plain.equal(impute_linearly(x, known))
    noise = (noisy - plain) / 0.01
    torch.testing.assert_close(noise[0], noise[1], atol=1e-3, rtol=0)
    assert 0.7 < float(noise.std()) < 1.3
    assert not noisy.equal(other)
    assert noisy.equal(Imputation(0.01, 0)(x, known))


def test_half_precision_is_solved_in_float32():
    """The pixels are returned in half precision."""
    x, known = image(1, 3, 8, 8, dtype=torch.float16), known_pixels((8, 8), 0.7)

    filled = impute_linearly(x, known)

    assert filled.dtype == torch.float16
    torch.testing.assert_close(filled, impute_linearly(x.float(), known).half())
