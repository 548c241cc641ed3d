"""Comparison with grad-cam, torchcam, captum and two public codes: the cases of `conformance`."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import pytorch_grad_cam
import torch
import torchcam.methods

from conformance import CASES, PEERS, REFERENCES, from_maps, lite0, max_difference, ours, plus_plus, problem_of
from fusioncam import METHODS, cached_passes
from selection import slow_unless

# on the default model these agree as far as rounding allows, which has a test of its own
(ROUNDED,) = (case for case in CASES if case.method == "integrated-gradients" and not case.rule)
# Score-CAM and the methods that use it, on the default model
HEAVY = [case for case in CASES if set(case.on) & set(REFERENCES) and set(case.on) <= set(case.slow)]
PAIRS = [
    pytest.param(case, name, id=f"{case.name}, {name}", marks=[pytest.mark.slow] if name in case.slow else [])
    for case in CASES
    for name in case.on
    if case not in HEAVY and (case, name) != (ROUNDED, "default")
]
DIFFERING = [case for case in CASES if case.rule]
LIGHT = [pytest.param(case, id=case.name) for case in DIFFERING if case not in HEAVY]

# classes of the peers that are not methods, or methods that we do not have
NOT_OURS = {
    "grad-cam": {
        "AblationLayer",
        "AblationLayerVit",
        "AblationLayerFasterRCNN",
        "ActivationsAndGradients",
        "BaseCAM",
        "DeepFeatureFactorization",
        "FEM",
        "GuidedBackpropReLUModel",
        "KPCA_CAM",
        "SESS",
        "SegEigenCAM",
    },
    "torchcam": {"OutputTarget"},
}


def require_references(name, request):
    """Skip the test if the reference maps are not available."""
    if name in REFERENCES:
        request.getfixturevalue("shared")


@pytest.mark.parametrize(("case", "name"), PAIRS)
def test_agrees_or_is_explained(case, name, request):
    """The peer's heatmap equals ours, or ours with the peer's rule."""
    require_references(name, request)

    difference = case.unexplained(name) if case.rule else case.difference(name)

    assert difference <= case.allowed(name)


@pytest.mark.parametrize("case", LIGHT)
def test_declared_difference_exists(case, request):
    """It is larger than the tolerance of the comparison with the peer's rule."""
    quick = [name for name in case.on if name not in case.slow]
    for name in quick:
        require_references(name, request)

    assert max(case.difference(name) for name in quick) >= max(case.least, case.tolerance)


@pytest.mark.slow
def test_presets_are_the_public_codes(shared):
    """Score-CAM, Union-CAM and Fusion-CAM agree with both codes with their presets, and only with them."""
    with cached_passes():
        agreeing = {case.name: case.difference(name) for case in HEAVY if not case.rule for name in case.on}
        differing = {case.name: case.difference(name) for case in HEAVY if case.rule for name in case.on}
        unexplained = {case.name: case.unexplained(name) for case in HEAVY if case.rule for name in case.on}

    assert max(agreeing.values()) <= 1e-4, agreeing
    assert max(unexplained.values()) <= 1e-4, unexplained
    assert min(differing.values()) >= 1e-3, differing


@pytest.mark.filterwarnings("ignore:the network has one output")
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES if case.example])
def test_smallest_example(case):
    """The examples of the page are the results of both."""
    example = case.example

    mine = ours(case.mine or METHODS[case.method])(example.problem).flatten().tolist()
    theirs = case.theirs(example.problem).flatten().tolist()

    assert mine == pytest.approx(example.mine, abs=0.006)
    assert any(theirs == pytest.approx(row, abs=0.006) for row in example.theirs), theirs


@pytest.mark.parametrize("file", [slow_unless(file == REFERENCES[0], file) for file in REFERENCES])
def test_remaining_difference_from_xplaincam_is_rounding(shared, file):
    """Dividing by a sum of nearly 0 amplifies rounding in float32: float64 changes our own heatmaps as much."""
    problem = problem_of(file)
    exact = replace(problem, network=copy.deepcopy(lite0().network).double(), x=problem.x.double(), model=None)

    for key, compute in {
        "xgradcam": ours(METHODS["xgrad-cam"]),
        "gradcampp": from_maps(plus_plus(1e-8, each=True)),
    }.items():
        rounding = max_difference(compute(problem), compute(exact))
        assert max_difference(compute(problem), problem.stored[f"xplaincam/{key}"]) <= 5 * rounding + 1e-6


@pytest.mark.slow
def test_remaining_difference_of_integrated_gradients_is_rounding():
    """Rounding decides at which step a gradient jumps: float64 changes our own heatmap as much."""
    problem = problem_of("default")
    exact = replace(problem, network=copy.deepcopy(problem.network).double(), x=problem.x.double(), model=None)
    method = ours(METHODS["integrated-gradients"])
    mine = method(problem)

    difference = max_difference(mine, ROUNDED.theirs(problem))

    assert difference <= ROUNDED.allowed("default")
    assert difference <= 2 * max_difference(mine, method(exact))


def test_classes_of_the_peers_are_all_compared():
    """Every class of a peer is in a case or listed in ``NOT_OURS``."""
    text = "".join(file.read_text() for file in (Path(__file__).parents[1] / "conformance").glob("*.py"))
    classes = {
        "grad-cam": {name for name, value in vars(pytorch_grad_cam).items() if isinstance(value, type)},
        "torchcam": {name for name in vars(torchcam.methods) if not name.startswith("_") and name[0].isupper()},
    }
    for peer, module in (("grad-cam", "gradcam"), ("torchcam", "torchcam")):
        missing = {name for name in classes[peer] - NOT_OURS[peer] if f"{module}.{name}" not in text}
        assert not missing, f"{peer} has {missing}: add a case"


def test_cases_are_complete():
    """Every difference has a reason and a source; every method and peer is known; names are unique."""
    for case in CASES:
        assert case.method in METHODS
        assert case.peer in PEERS
        assert bool(case.rule) == bool(case.why) == bool(case.right), case.name
    assert len({case.name for case in CASES}) == len(CASES)


def test_peers_leave_the_default_model_unchanged():
    """The default model, which the cases share, still predicts the same class."""
    problem = problem_of("default")

    torch.testing.assert_close(problem.explained.logits(problem.x).argmax(1), problem.target)
    assert not any(module._forward_hooks for module in problem.network.modules())
