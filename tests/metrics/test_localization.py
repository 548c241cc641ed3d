"""Localization against boxes and masks: by hand, against reference implementations, and against Quantus."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import quantus
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusioncam.data.ground_truth import Truth
from fusioncam.errors import MissingTruthError, NonFiniteError, SettingError, ShapeError, UnknownNameError
from fusioncam.functional.boxes import THRESHOLDS, best_ious, box_iou, max_box_acc, reaches
from fusioncam.metrics.localization import BoxAccuracy, EnergyShare, IoU, PointingGame, best_iou, dilate
from twins import localization as twin

METRICS = [
    PointingGame(),
    PointingGame(tolerance=0),
    PointingGame(tolerance=1.5, region="box"),
    EnergyShare(),
    EnergyShare("mask"),
    IoU(),
    IoU(0.2, "box"),
    IoU(None),
    IoU(0),
    BoxAccuracy(),
    BoxAccuracy(0.5, (0.3, 0.6), "largest"),
]


def values(metric, heatmaps, truth):
    """Return the metric's values; these metrics use neither the network nor the image."""
    return metric(None, None, None, torch.as_tensor(heatmaps), truth=truth)


def boxed(*box, size=(4, 6)):
    """Return the truth of one image with one box."""
    return Truth(size, [[box]])


def image(*rows):
    """Return a heatmap (1, H, W) from digits, in tenths."""
    return torch.tensor([[int(cell) / 10 for cell in row] for row in rows])[None]


MAP = image("000000", "049900", "042000", "000001")


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        # one of the two maxima is in the box of columns 1 and 2
        (PointingGame(tolerance=0), 0.5),
        (PointingGame(tolerance=1), 1),
        # 4 + 9 + 4 + 2 of 29
        (EnergyShare(), 19 / 29),
        # at least 4.5: the two maxima, one of which is in the box of four pixels
        (IoU(0.5), 1 / 5),
        # at least 1.8: five pixels, four of which are in the box
        (IoU(0.2), 4 / 5),
        (IoU(None), 4 / 5),
        # the box around these five pixels is 3 x 2
        (BoxAccuracy(0.2, (0.5, 0.6, 2 / 3, 0.7)), 3 / 4),
        # the pixel of 1 only counts with the threshold 0
        (IoU(0), 4 / 6),
        (BoxAccuracy(0, (0.5,)), 1),
        (BoxAccuracy(1, (0.2, 0.21)), 1 / 2),
    ],
    ids=repr,
)
def test_by_hand(metric, expected):
    """The heatmap has six positive pixels, the box four pixels."""
    assert values(metric, MAP, boxed(1, 1, 3, 3)).item() == pytest.approx(expected)


def test_the_tolerance_is_a_circle_around_pixels():
    """A corner is farther away than a side; a maximum at exactly the distance hits."""
    heatmap = image("900000", "000000", "000000", "000000")

    hits = {
        tolerance: values(PointingGame(tolerance), heatmap, boxed(3, 3, 4, 4)).item() for tolerance in (4, 4.2, 4.3)
    }
    assert hits == {4: 0, 4.2: 0, 4.3: 1}
    assert values(PointingGame(3), heatmap, boxed(3, 0, 4, 1)).item() == 1
    assert values(PointingGame(2.9), heatmap, boxed(3, 0, 4, 1)).item() == 0


def test_the_finest_truth_is_used():
    """The mask is used where it is known, otherwise the boxes."""
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[1, 1] = True
    truth = Truth((4, 6), [[(1, 1, 3, 3)]], mask[None])

    assert values(PointingGame(0), MAP, truth).item() == 0
    assert values(PointingGame(0, "box"), MAP, truth).item() == 0.5
    assert values(EnergyShare("mask"), MAP, truth).item() == pytest.approx(4 / 29)
    assert values(EnergyShare("finest"), MAP, boxed(1, 1, 3, 3)).item() == pytest.approx(19 / 29)


def test_all_components_or_the_largest():
    """The smaller of two components is the object: all components count, or only the largest."""
    heatmap = image("990000", "990000", "000000", "000055")
    truth = boxed(4, 3, 6, 4)

    assert values(BoxAccuracy(0.5, (1,)), heatmap, truth).item() == 1
    assert values(BoxAccuracy(0.5, (0.01,), "largest"), heatmap, truth).item() == 0
    assert values(BoxAccuracy(0.6, (0.01,)), heatmap, truth).item() == 0
    both = Truth((4, 6), [[(4, 3, 6, 4), (0, 0, 2, 2)]])
    assert values(BoxAccuracy(0.5, (1,), "largest"), heatmap, both).item() == 1


@pytest.mark.parametrize(
    ("deltas", "value", "of_deltas", "thresholds"),
    [
        ((0.5,), 2 / 3, (2 / 3,), (1,)),
        ((0.3, 0.5, 0.7), 2 / 3, (1, 2 / 3, 1 / 3), (1, 1, 0)),
        ((0.7, 0.3, 0.5), 2 / 3, (1 / 3, 1, 2 / 3), (0, 1, 1)),
        ((0.9,), 0, (0,), (0,)),
    ],
)
def test_max_box_acc_by_hand(deltas, value, of_deltas, thresholds):
    """Each delta has one threshold for all images."""
    ious = torch.tensor([[0.8, 0.4, 0.3], [0.2, 0.55, 0.3], [0.1, 0.6, 0.3]])

    found = max_box_acc(reaches(ious, deltas).double().mean(2), deltas)

    assert found.value == pytest.approx(value)
    assert found.of_deltas == pytest.approx(of_deltas)
    assert found.thresholds == thresholds
    assert found.low <= found.value <= found.high


def test_max_box_acc_chooses_thresholds_in_every_resample():
    """Equal images have no spread; for two images with different best thresholds the value is never 0."""
    equal = max_box_acc([[0, 1]] * 9, (0.5,))
    assert (equal.low, equal.high) == (1, 1)
    different = max_box_acc([[0, 1], [1, 0]], (0.5,))
    assert (different.low, different.value, different.high) == (0.5, 0.5, 1)


def test_ious_at_every_threshold():
    """A hundred thresholds at once give the same as each alone, and the curve has the reached shares."""
    truth, metric = boxed(1, 1, 3, 3), BoxAccuracy()
    rows, curve = metric.ious(MAP, truth, THRESHOLDS), metric.curve(None, None, None, MAP, truth)

    assert (rows.shape, curve.shape) == ((1, 100), (100, 1))
    for step in (0, 11, 20, 45, 99):
        assert rows[0, step] == metric.ious(MAP, truth, (step / 100,))[0, 0]
        assert curve[step] == values(BoxAccuracy(step / 100), MAP, truth)
    assert values(BoxAccuracy(0.2, (0.66,)), MAP, truth).item() == float(rows[0, 20] >= 0.66)
    assert len(set(curve[:, 0].tolist())) == 2


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_flat_heatmaps(metric):
    """A constant heatmap scores like the whole image, one of zeros scores 0, except that its energy is undefined."""
    truth = Truth((4, 6), masks=boxed(1, 1, 3, 3).mask("test"))

    some, none = (values(metric, torch.full((1, 4, 6), one), truth).item() for one in (0.7, 0.0))

    expected = {EnergyShare: 4 / 24, IoU: 4 / 24, BoxAccuracy: 0}
    if isinstance(metric, PointingGame):
        near = dilate(truth.mask("test"), metric.tolerance).sum() / 24
        assert some == none == pytest.approx(near.item())
    else:
        assert some == pytest.approx(expected[type(metric)])
        assert math.isnan(none) if isinstance(metric, EnergyShare) else none == 0


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_wrong_input_is_reported(metric):
    """The truth is missing, or missing for one image, or of another size, or the heatmaps are invalid."""
    truth = Truth((4, 6), [[(1, 1, 3, 3)], []], torch.zeros(2, 4, 6, dtype=torch.bool))
    for missing, heatmaps in ((None, MAP), (truth, MAP.repeat(2, 1, 1))):
        with pytest.raises(MissingTruthError, match=type(metric).__name__):
            values(metric, heatmaps, missing)
    with pytest.raises(ShapeError, match="truth and heatmaps must have one shape"):
        values(metric, MAP, boxed(1, 1, 3, 3, size=(6, 4)))
    with pytest.raises(ShapeError, match=r"add heatmap\[None\]"):
        values(metric, torch.rand(4), boxed(1, 1, 3, 3))
    for wrong in (math.nan, math.inf):
        with pytest.raises(NonFiniteError, match="heatmap 0 of 1 contains NaN or infinity"):
            values(metric, torch.full((1, 4, 6), wrong), boxed(1, 1, 3, 3))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: PointingGame(tolerance=-1), SettingError, "tolerance must be a number of at least 0, got -1"),
        (lambda: PointingGame(tolerance=math.nan), SettingError, "tolerance must be a number of at least 0, got nan"),
        (lambda: PointingGame(region="boxes"), UnknownNameError, "unknown region 'boxes'; did you mean 'box'"),
        (lambda: EnergyShare("masks"), UnknownNameError, "unknown region 'masks'"),
        (lambda: IoU(1.5), SettingError, r"threshold must be a number between 0 and 1, got 1\.5"),
        (lambda: IoU(True), SettingError, "threshold must be a number between 0 and 1, got True"),
        (lambda: IoU(region="x"), UnknownNameError, "unknown region 'x'"),
        (lambda: BoxAccuracy("0.5"), SettingError, "threshold must be a number between 0 and 1, got '0.5'"),
        (lambda: BoxAccuracy(deltas=(0.5, 50)), SettingError, "delta must be a number between 0 and 1, got 50"),
        (lambda: BoxAccuracy(deltas=()), SettingError, "deltas must contain at least one IoU"),
        (lambda: BoxAccuracy(pieces="first"), UnknownNameError, "unknown choice of pieces 'first'"),
    ],
)
def test_wrong_settings_are_reported(make, error, message):
    """The message says what is wrong and what was given."""
    with pytest.raises(error, match=message):
        make()


# -- every heatmap ---------------------------------------------------------------------------------------------


@st.composite
def problems(draw):
    """Draw heatmaps (N, H, W) with equal pixels and zeros, boxes and masks."""
    count, height, width = draw(st.integers(1, 3)), draw(st.integers(1, 7)), draw(st.integers(1, 7))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 9999)))
    heatmaps = torch.randint(-1, draw(st.integers(1, 9)), (count, height, width), generator=generator).double() / 8
    masks = torch.rand(count, height, width, generator=generator) < 0.4
    masks[:, 0, 0] |= ~masks.flatten(1).any(1)
    boxes = []
    for _ in range(count):
        x = sorted(draw(st.lists(st.integers(0, width), min_size=2, max_size=2, unique=True)))
        y = sorted(draw(st.lists(st.integers(0, height), min_size=2, max_size=2, unique=True)))
        boxes.append([(x[0], y[0], x[1], y[1])])
    return heatmaps, Truth((height, width), boxes, masks)


@given(problems(), st.floats(0, 8), st.floats(0, 1))
def test_metrics_equal_reference_implementations(problem, tolerance, threshold):
    """Plain loops over pixels give the same values."""
    heatmaps, truth = problem
    listed = list(zip(heatmaps.tolist(), truth.mask("t").tolist(), truth.boxes("t"), strict=True))

    def check(metric, expected):
        torch.testing.assert_close(
            values(metric, heatmaps, truth), torch.tensor(expected, dtype=torch.float64), equal_nan=True
        )

    check(PointingGame(tolerance), [twin.pointing_game(one, mask, tolerance) for one, mask, _ in listed])
    check(EnergyShare("mask"), [twin.energy(one, mask) for one, mask, _ in listed])
    check(IoU(threshold), [twin.iou_at(one, mask, threshold) for one, mask, _ in listed])
    check(IoU(None), [twin.best_iou(one, mask) for one, mask, _ in listed])
    for pieces in ("all", "largest"):
        expected = [twin.box_iou(one, boxes.tolist(), threshold, pieces) for one, _, boxes in listed]
        found = [
            best_ious(one, boxes, (threshold,), pieces)[0].item()
            for one, (_, _, boxes) in zip(heatmaps, listed, strict=True)
        ]
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS, ids=repr)
@settings(max_examples=15)
@given(problems(), st.sampled_from([0.25, 2, 64]))
def test_the_scale_of_the_heatmap_does_not_matter(metric, problem, scale):
    """A scaled heatmap has the same values."""
    heatmaps, truth = problem

    torch.testing.assert_close(
        values(metric, heatmaps * scale, truth), values(metric, heatmaps, truth), equal_nan=True
    )


@pytest.mark.parametrize("metric", METRICS, ids=repr)
@settings(max_examples=15)
@given(problems())
def test_mirroring_does_not_matter(metric, problem):
    """A mirrored heatmap with a mirrored truth has the same values."""
    if isinstance(metric, BoxAccuracy) and metric.pieces == "largest":
        return  # the first of equally large components is used, which mirroring changes
    heatmaps, truth = problem
    width = truth.size[1]
    boxes = [[(width - x1, y0, width - x0, y1) for x0, y0, x1, y1 in one.tolist()] for one in truth.boxes("test")]
    mirrored = Truth(truth.size, boxes, truth.mask("test").flip(2))

    torch.testing.assert_close(
        values(metric, heatmaps.flip(2), mirrored), values(metric, heatmaps, truth), equal_nan=True
    )


@pytest.mark.parametrize("metric", METRICS, ids=repr)
@settings(max_examples=15)
@given(problems())
def test_values_are_in_0_to_1_and_do_not_depend_on_the_batch(metric, problem):
    """Values are in [0, 1] and have the heatmaps' precision."""
    heatmaps, truth = problem
    together = values(metric, heatmaps, truth)

    singles = [
        values(metric, heatmaps[n : n + 1], Truth(truth.size, [truth.boxes("t")[n]], truth.mask("t")[n : n + 1]))
        for n in range(len(heatmaps))
    ]
    torch.testing.assert_close(together, torch.cat(singles), atol=0, rtol=0, equal_nan=True)
    assert (together.isnan() | ((together >= 0) & (together <= 1))).all()
    assert together.dtype == heatmaps.dtype
    assert values(metric, heatmaps.half(), truth).dtype == torch.float32


@given(problems(), st.floats(0.01, 1))
def test_the_best_iou_is_an_upper_bound(problem, threshold):
    """No threshold has a higher IoU."""
    heatmaps, truth = problem
    best = values(IoU(None), heatmaps, truth)

    assert (best + 1e-12 >= values(IoU(threshold), heatmaps, truth)).all()
    top = heatmaps.flatten(1).amax(1)
    assert (best[top <= 0] == 0).all()


def test_the_perfect_heatmap():
    """The mask itself has the value 1 for every metric."""
    mask = torch.zeros(1, 9, 9, dtype=torch.bool)
    mask[0, 2:5, 3:8] = True
    truth = Truth((9, 9), [[(3, 2, 8, 5)]], mask)

    assert [values(metric, mask.float(), truth).item() for metric in METRICS] == [1] * len(METRICS)


def test_signals_and_volumes():
    """Inputs may have any number of sides."""
    signal = torch.tensor([[0.0, 0.4, 0.9, 0.9]])
    truth = Truth([4], [[(1, 3)]])
    assert values(PointingGame(0), signal, truth).item() == 0.5
    assert values(IoU(0.4), signal, truth).item() == pytest.approx(2 / 3)
    assert values(BoxAccuracy(0.4, (0.6, 0.7)), signal, truth).item() == 0.5

    volume = torch.zeros(1, 2, 3, 4)
    volume[0, 0, 1, 2] = 1
    for metric in METRICS:
        assert values(metric, volume, Truth((2, 3, 4), [[(2, 1, 0, 3, 2, 1)]], volume > 0)).item() == 1


@given(problems(), st.floats(0, 6))
def test_dilation_is_by_distance(problem, distance):
    """Exactly the pixels whose nearest pixel of the mask is within the distance are added."""
    _, truth = problem
    masks = truth.mask("test")

    pixels = torch.ones_like(masks[0]).nonzero()
    for mask, dilated in zip(masks, dilate(masks, distance), strict=True):
        squared = ((pixels[:, None] - mask.nonzero()) ** 2).sum(2).amin(1)
        assert dilated.flatten().equal(squared <= distance**2)


def test_disjoint_boxes_have_no_overlap():
    """Two negative side lengths do not multiply to a positive area."""
    ones, others = torch.tensor([[0.0, 0, 1, 1], [0, 0, 2, 2]]), torch.tensor([[2.0, 2, 3, 3], [1, 1, 2, 2]])

    assert box_iou(ones, others).tolist() == [[0, 0], [0, 0.25]]


# -- Quantus ---------------------------------------------------------------------------------------------------


def theirs(metric, heatmaps, masks):
    """Return Quantus' values of single-channel attributions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = metric.evaluate_batch(
            x_batch=np.zeros((len(heatmaps), 1, *heatmaps.shape[1:])),
            a_batch=heatmaps[:, None].numpy().copy(),
            s_batch=masks[:, None].numpy().copy(),
        )
    return torch.as_tensor(np.asarray(found, dtype=np.float64))


def quantus_metric(kind, **settings):
    """Return one of Quantus' metrics, without warnings and progress bars."""
    return kind(disable_warnings=True, display_progressbar=False, normalise=False, abs=False, **settings)


def random_maps():
    """Return heatmaps without equal pixels, masks, and the truth with these masks."""
    generator = torch.Generator().manual_seed(5)
    heatmaps = torch.rand(40, 8, 8, generator=generator, dtype=torch.float64)
    masks = torch.rand(40, 8, 8, generator=generator) < 0.3
    return heatmaps, masks, Truth((8, 8), masks=masks)


def test_quantus_agrees_on_the_energy():
    """AttributionLocalisation and RelevanceMassAccuracy of non-negative heatmaps are the energy in the mask."""
    heatmaps, masks, truth = random_maps()
    ours = values(EnergyShare("mask"), heatmaps, truth)

    for kind in (quantus.AttributionLocalisation, quantus.RelevanceMassAccuracy):
        torch.testing.assert_close(theirs(quantus_metric(kind), heatmaps, masks), ours, atol=1e-7, rtol=0)


def test_quantus_counts_negative_pixels():
    """With negative pixels theirs is not a share; ours uses the positive pixels, as the paper does."""
    heatmaps = torch.tensor([[[1.0, -0.5], [0.25, 0.25]]])
    mask = torch.tensor([[[True, False], [False, False]]])

    assert theirs(quantus_metric(quantus.RelevanceMassAccuracy), heatmaps, mask).item() == 1.0
    assert theirs(quantus_metric(quantus.AttributionLocalisation), heatmaps, mask).item() == pytest.approx(1)
    assert values(EnergyShare("mask"), heatmaps, Truth((2, 2), masks=mask)).item() == pytest.approx(2 / 3)


def test_quantus_agrees_on_the_pointing_game():
    """Values are equal for heatmaps with one maximum, without a tolerance."""
    heatmaps, masks, truth = random_maps()

    ours = values(PointingGame(tolerance=0), heatmaps, truth)

    assert 5 < ours.sum() < 35
    assert theirs(quantus_metric(quantus.PointingGame), heatmaps, masks).equal(ours)


def test_quantus_counts_a_constant_heatmap_as_a_hit():
    """In theirs a constant heatmap always hits, even an empty mask; ours returns the share of the maxima."""
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, 0, 0] = True
    flat = torch.ones(1, 4, 4, dtype=torch.float64)

    assert theirs(quantus_metric(quantus.PointingGame), flat, mask).item() == 1
    assert theirs(quantus_metric(quantus.PointingGame), flat, mask & False).item() == 1
    assert values(PointingGame(0), flat, Truth((4, 4), masks=mask)).item() == 1 / 16
    with pytest.raises(MissingTruthError):
        values(PointingGame(0), flat, Truth((4, 4), masks=mask & False))


def test_the_best_iou_does_not_separate_equal_pixels():
    """No threshold selects half of a plateau."""
    heatmap = torch.tensor([[[0.5, 0.5, 0.5, 0.5]]])
    mask = torch.tensor([[[True, True, False, False]]])

    assert best_iou(heatmap, mask).item() == 0.5
