"""Our maps beside those of grad-cam, torchcam, captum and two public codes: the cases of `conformance.py`."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import pytorch_grad_cam
import torch
import torchcam.methods

from conformance import CASES, PEERS, REFERENCES, apart, from_maps, lite0, ours, plus_plus, problem_of
from fusioncam import METHODS, cached_passes

# Score-CAM and what is made of it, on the default model: two of them serve all
HEAVY = [case for case in CASES if set(case.on) & set(REFERENCES) and set(case.on) <= set(case.slow)]
PAIRS = [
    pytest.param(case, name, id=f"{case.name}, {name}", marks=[pytest.mark.slow] if name in case.slow else [])
    for case in CASES
    for name in case.on
    if case not in HEAVY
]
DIFFERING = [case for case in CASES if case.rule]
LIGHT = [pytest.param(case, id=case.name) for case in DIFFERING if case not in HEAVY]

# what the peers have beside the methods of the cases
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


def ready(name, request):
    """Skip where the reference maps are not at hand."""
    if name in REFERENCES:
        request.getfixturevalue("shared")


@pytest.mark.parametrize(("case", "name"), PAIRS)
def test_agrees_or_is_explained(case, name, request):
    """A peer gives what we give, or what we give with its rule in place of ours."""
    ready(name, request)

    difference = case.unexplained(name) if case.rule else case.difference(name)

    assert difference <= case.allowed(name)


@pytest.mark.parametrize("case", LIGHT)
def test_differs_where_it_is_said_to(case, request):
    """A difference is there, and is larger than what its explanation leaves."""
    quick = [name for name in case.on if name not in case.slow]
    for name in quick:
        ready(name, request)

    assert max(case.difference(name) for name in quick) >= max(case.least, case.tolerance)


@pytest.mark.slow
def test_presets_are_the_public_codes(shared):
    """Score-CAM, Union-CAM and Fusion-CAM of both codes agree by their presets, and by those alone."""
    with cached_passes():
        agreeing = {case.name: case.difference(name) for case in HEAVY if not case.rule for name in case.on}
        differing = {case.name: case.difference(name) for case in HEAVY if case.rule for name in case.on}
        unexplained = {case.name: case.unexplained(name) for case in HEAVY if case.rule for name in case.on}

    assert max(agreeing.values()) <= 1e-4, agreeing
    assert max(unexplained.values()) <= 1e-4, unexplained
    assert min(differing.values()) >= 1e-3, differing


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES if case.example])
def test_smallest_example(case):
    """The page's examples are what both give."""
    example = case.example

    mine = ours(case.mine or METHODS[case.method])(example.problem).flatten().tolist()
    theirs = case.theirs(example.problem).flatten().tolist()

    assert mine == pytest.approx(example.mine, abs=0.006)
    assert any(theirs == pytest.approx(one, abs=0.006) for one in example.theirs), theirs


@pytest.mark.parametrize("file", REFERENCES)
def test_what_is_left_of_xplaincam_is_rounding(shared, file):
    """Where a sum is nearly 0 a division by it shows float32's rounding: float64 moves our own maps as far."""
    problem = problem_of(file)
    exact = replace(problem, network=copy.deepcopy(lite0().network).double(), x=problem.x.double(), model=None)

    for key, maker in {
        "xgradcam": ours(METHODS["xgrad-cam"]),
        "gradcampp": from_maps(plus_plus(1e-8, each=True)),
    }.items():
        rounding = apart(maker(problem), maker(exact))
        assert apart(maker(problem), problem.stored[f"xplaincam/{key}"]) <= 5 * rounding + 1e-6


@pytest.mark.slow
def test_what_is_left_of_integrated_gradients_is_rounding():
    """Where gradients jump from step to step, rounding decides which: float64 moves our own map as far."""
    problem = problem_of("default")
    exact = replace(problem, network=copy.deepcopy(problem.network).double(), x=problem.x.double(), model=None)
    method = ours(METHODS["integrated-gradients"])
    (case,) = (case for case in CASES if case.method == "integrated-gradients" and not case.rule)

    assert case.difference("default") <= 2 * apart(method(problem), method(exact))


def test_classes_of_the_peers_are_all_compared():
    """Whatever class of map a peer has is in a case, or named as none of ours."""
    asked = (Path(__file__).parents[1] / "conformance.py").read_text()
    there = {
        "grad-cam": {name for name, value in vars(pytorch_grad_cam).items() if isinstance(value, type)},
        "torchcam": {name for name in vars(torchcam.methods) if not name.startswith("_") and name[0].isupper()},
    }
    for peer, module in (("grad-cam", "gradcam"), ("torchcam", "torchcam")):
        missing = {name for name in there[peer] - NOT_OURS[peer] if f"{module}.{name}" not in asked}
        assert not missing, f"{peer} has {missing}: add a case"


def test_every_difference_is_told():
    """A difference says why it is and who is right; every name is one of METHODS and every peer is known."""
    for case in CASES:
        assert case.method in METHODS
        assert case.peer in PEERS
        assert bool(case.rule) == bool(case.why) == bool(case.right), case.name
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.slow
def test_page_is_up_to_date():
    """The page tells the cases as they stand here."""
    script = Path(__file__).parents[2] / "docs" / "conformance.py"

    ran = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr


def test_peers_leave_the_default_model_as_it_was():
    """What the cases share is not changed by a peer: the default model still says what it said."""
    problem = problem_of("default")

    torch.testing.assert_close(problem.explained.logits(problem.x).argmax(1), problem.target)
    assert not any(module._forward_hooks for module in problem.network.modules())
