"""Programs written for torch-cam run with another import."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
import torchcam.methods as original
from PIL import Image

from conformance import max_difference, problem_of
from fusioncam import METHODS
from fusioncam.compat.torchcam import methods
from fusioncam.compat.torchcam.utils import overlay_mask
from fusioncam.errors import FusionCamError
from fusioncam.functional.heatmaps import minmax, upsample

EXTRACTORS = [name for name, value in vars(original).items() if inspect.isclass(value)]


def test_every_extractor_of_the_original_exists():
    """By its name."""
    assert set(EXTRACTORS) <= set(vars(methods))


@pytest.mark.filterwarnings("ignore::fusioncam.errors.FlatHeatmapWarning")
@pytest.mark.parametrize("name", sorted({*EXTRACTORS} - {"LeGrad", "CAM", "RefineCAM"}))
def test_extractors_run_as_in_the_readme(network, name):
    """The pass of the program itself, then the maps of its last input, for one class and for one per image."""
    with getattr(methods, name)(network, target_layer="layer4", input_shape=(3, 32, 32)) as extractor:
        out = network(torch.rand(2, 3, 32, 32))
        (heatmaps,) = extractor(out.squeeze(0).argmax(1).tolist(), out)
        (of_one,) = extractor(1, out)

    assert heatmaps.shape == of_one.shape == (2, 32, 32)
    assert not network._forward_pre_hooks


@pytest.mark.parametrize("name", ["GradCAM", "LayerCAM", "XGradCAM", "FinerCAM"])
def test_heatmaps_equal_those_of_the_original(name):
    """At the size of the input, where the original has the layer's."""
    problem, found = problem_of("curved"), []
    for module in (original, methods):
        with getattr(module, name)(problem.network, problem.module) as extractor:
            found += extractor(problem.target.tolist(), problem.network(problem.x.clone()))

    theirs = minmax(upsample(found[0].detach(), (8, 8)))
    assert max_difference(found[1], theirs) < 1e-5


def test_settings_have_the_names_of_the_original():
    """They are ours under other names."""
    problem = problem_of("curved")
    extractor = methods.SSCAM(problem.network, "features", batch_size=2, num_samples=3, std=0.5)
    problem.network(problem.x)
    (found,), (again,) = extractor(0), extractor(0)
    extractor.remove_hooks()

    expected = METHODS["ss-cam"].__class__(samples=3, std=0.5)(problem.explained, problem.x, 0)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(again, found)  # its own passes are no new input


def test_several_layers_are_fused():
    """A heatmap per layer, their maximum, and RefineCAM's product."""
    problem = problem_of("pyramid")
    with methods.LayerCAM(problem.network, ["features.3", "features"]) as extractor:
        out = problem.network(problem.x)
        cams = extractor(0, out)
        fused = extractor.fuse_cams(cams)
    with methods.RefineCAM(problem.network, ["features.3", "features"], base_method=methods.LayerCAM) as extractor:
        problem.network(problem.x)
        (refined,) = extractor(0)

    torch.testing.assert_close(fused, torch.maximum(*cams))
    torch.testing.assert_close(refined, minmax(cams[0] * cams[1]))
    assert extractor.fuse_cams(cams, (4, 4)).shape == (2, 4, 4)


def test_refined_methods_take_their_settings():
    """They are those of the base method."""
    problem, found = problem_of("curved"), []
    for gamma in (0, 0.9):
        settings = {"base_method": methods.FinerCAM, "gamma": gamma}
        with methods.RefineCAM(problem.network, "features", **settings) as extractor:
            problem.network(problem.x)
            found += extractor(0)

    assert max_difference(found[1], found[0]) > 0.01


def test_targets_may_be_callables(network):
    """One for all images, or one per image."""
    with methods.GradCAM(network, "layer4") as extractor:
        out = network(torch.rand(2, 3, 32, 32))
        (of_class,), (of_target,) = extractor(1, out), extractor(targets=lambda output: output[1], scores=out)

    torch.testing.assert_close(of_target, of_class, atol=1e-5, rtol=0, check_dtype=False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda extractor: extractor(0), "call model(x) first"),
        (lambda extractor: extractor(), "exactly one of class_idx and targets"),
        (lambda extractor: extractor(0, normalized=False), "heatmaps are in [0, 1]"),
        (lambda extractor: methods.GradCAM(extractor.model, "features", num_samples=3), "no setting 'num_samples'"),
        (lambda extractor: methods.GradCAM(extractor.model, "featrues"), "did you mean 'features'"),
        (lambda extractor: extractor.fuse_cams([]), "at least one heatmap"),
    ],
)
def test_mistakes_have_an_error(call, message):
    """Each says what to do."""
    extractor = methods.GradCAM(problem_of("curved").network, "features")
    try:
        with pytest.raises(FusionCamError) as caught:
            call(extractor)
    finally:
        extractor.remove_hooks()
    assert message in str(caught.value)


def test_overlays_show_heatmaps_as_they_are():
    """The image where alpha is high, the heatmap's colours where it is 0."""
    photo = Image.new("RGB", (8, 6), (0, 255, 0))
    heatmap = Image.fromarray(np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4))

    colours = np.asarray(overlay_mask(photo, heatmap, alpha=0))
    assert overlay_mask(photo, heatmap).size == (8, 6)
    assert colours[0, 0].argmax() == 2
    assert colours[-1, -1].argmax() == 0
    with pytest.raises(FusionCamError, match="below 1, got 1"):
        overlay_mask(photo, heatmap, alpha=1)
    for no_heatmap in (np.zeros(3), photo.convert("L")):
        with pytest.raises(FusionCamError, match="two PIL images, the second of mode 'F'"):
            overlay_mask(photo, no_heatmap)
