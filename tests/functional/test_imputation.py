"""Linear imputation: by hand, against a dense system, and what it must leave as it is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusioncam.functional import imputation
from fusioncam.functional.imputation import Imputation, imputed, neighbours
from twins import metrics as twins


def image(*size, seed=0, dtype=torch.float64):
    """Give images of random pixels."""
    return torch.randn(*size, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def missing_at(size, share, seed=0):
    """Give where pixels are known ``(1, *size)``."""
    return torch.rand(1, *size, generator=torch.Generator().manual_seed(seed)) >= share


def test_one_missing_pixel_by_hand():
    """Beside it 1/6 each, across a corner 1/12 each; at the border those inside share the weight."""
    x = torch.tensor([[0.0, 6.0, 0.0], [12.0, 99.0, 0.0], [0.0, 0.0, 24.0]])[None, None]
    middle, corner = torch.ones(2, 1, 3, 3, dtype=torch.bool).unbind(0)
    middle[0, 1, 1], corner[0, 0, 0] = False, False

    assert float(imputed(x, middle)[0, 0, 1, 1]) == pytest.approx(6 / 6 + 12 / 6 + 24 / 12)
    assert float(imputed(x, corner)[0, 0, 0, 0]) == pytest.approx(
        (6 / 6 + 12 / 6 + 99 / 12) / (1 / 6 + 1 / 6 + 1 / 12)
    )


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("size", [(12,), (8, 8), (9, 12), (1, 7), (6, 5, 4)], ids=str)
def test_it_solves_the_system(size, share):
    """What Gauss's elimination gives for the papers' equations."""
    x = image(1, 2, *size)
    known = missing_at(size, share, seed=3)
    assert not known.all()

    found = imputed(x, known)[0]

    places = [tuple(i.tolist()) for i in (~known[0]).nonzero()]
    torch.testing.assert_close(found, twins.imputed(x[0], places), atol=1e-4, rtol=0)


@pytest.mark.parametrize("sides", [(40, 61), (224, 224)], ids=str)
def test_large_holes_take_few_steps(sides, monkeypatch):
    """Every scale is preconditioned, up to the borders: 50 steps do where plain gradients take hundreds."""
    monkeypatch.setattr(imputation, "_MOST_STEPS", 50)
    x = image(1, 1, *sides, dtype=torch.float32)
    known = torch.zeros(1, *sides, dtype=torch.bool)
    known[:, : sides[0] // 10] = True

    filled = imputed(x, known)

    inside = ~known[:, None]
    total = neighbours(torch.ones_like(filled))
    residual = (neighbours(filled) - total * filled)[inside]
    right = neighbours(filled * ~inside)[inside]
    assert residual.norm() <= 1e-4 * right.norm()


def test_known_pixels_stay_and_a_slope_is_continued():
    """What is known is not touched, and a plane is imputed as the plane."""
    rows, columns = torch.meshgrid(torch.arange(10.0), torch.arange(12.0), indexing="ij")
    plane = (2 * rows - 3 * columns + 1)[None, None].double()
    known = torch.ones(1, 10, 12, dtype=torch.bool)
    known[:, 2:8, 3:11] = False

    filled = imputed(plane, known)

    assert filled[0, 0][known[0]].equal(plane[0, 0][known[0]])
    torch.testing.assert_close(filled, plane, atol=1e-3, rtol=0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 0.95), st.floats(-3, 3), st.floats(0.1, 4))
def test_it_is_a_mean(seed, share, shift, factor):
    """No imputed pixel is beyond those known, and brighter or stretched images are imputed so."""
    x, known = image(1, 1, 7, 9, seed=seed), missing_at((7, 9), share, seed)
    if known.any():
        seen, filled = x[0, 0][known[0]], imputed(x, known)

        assert filled.min() >= seen.min() - 1e-3
        assert filled.max() <= seen.max() + 1e-3
        torch.testing.assert_close(imputed(factor * x + shift, known), factor * filled + shift, atol=1e-3, rtol=0)


def test_a_batch_is_its_images():
    """What is in the batch beside an image, also one of which nothing is left, changes nothing."""
    x = image(4, 3, 11, 8, dtype=torch.float32)
    known = torch.cat([missing_at((11, 8), share, seed=2) for share in (0.0, 0.2, 0.95, 1.1)])

    together = imputed(x, known)

    for n in range(4):
        torch.testing.assert_close(together[n : n + 1], imputed(x[n : n + 1], known[n : n + 1]), atol=1e-6, rtol=0)
    assert together[0].equal(x[0])
    assert not together[3].any()


def test_noise_is_small_and_the_same_for_all():
    """The same numbers for every image and every step, by the seed; none if none is asked for."""
    x, known = image(2, 3, 6, 6, dtype=torch.float32), missing_at((6, 6), 0.5).expand(2, 6, 6)

    plain, noisy, other = (Imputation(*how)(x, known.float()) for how in ((0, 0), (0.01, 0), (0.01, 1)))

    assert plain.equal(imputed(x, known))
    drawn = (noisy - plain) / 0.01
    torch.testing.assert_close(drawn[0], drawn[1], atol=1e-3, rtol=0)
    assert 0.7 < float(drawn.std()) < 1.3
    assert not noisy.equal(other)
    assert noisy.equal(Imputation(0.01, 0)(x, known))


def test_half_precision_is_solved_in_full():
    """The pixels come back as they came."""
    x, known = image(1, 3, 8, 8, dtype=torch.float16), missing_at((8, 8), 0.7)

    filled = imputed(x, known)

    assert filled.dtype == torch.float16
    torch.testing.assert_close(filled, imputed(x.float(), known).half())
