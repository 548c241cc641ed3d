"""Programs written for pytorch-grad-cam run with another import, and return its heatmaps where definitions agree."""

from __future__ import annotations

import copy
import importlib

import numpy as np
import pytest
import pytorch_grad_cam as original
import torch
from torch import nn
from torchvision.models import VisionTransformer
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

from conformance import max_difference, problem_of
from fusioncam.compat import pytorch_grad_cam as ours
from fusioncam.compat.pytorch_grad_cam import (
    AblationCAM,
    AblationLayerVit,
    BaseCAM,
    ClassifierOutputTarget,
    EigenCAM,
    FinerCAM,
    FullGrad,
    GradCAM,
    GradCAMPlusPlus,
    GuidedBackpropReLUModel,
    LayerCAM,
    RefineCAM,
    ScoreCAM,
)
from fusioncam.compat.pytorch_grad_cam.utils import model_targets
from fusioncam.compat.pytorch_grad_cam.utils.reshape_transforms import (
    fasterrcnn_reshape_transform,
    vit_reshape_transform,
)
from fusioncam.errors import FusionCamError, FusionCamWarning, InputTypeError, LayerError, MethodError, TargetError

CAMS = [
    name
    for name in ours.__all__
    if isinstance(getattr(ours, name), type) and issubclass(getattr(ours, name), BaseCAM)
]
CAMS.remove("BaseCAM")
NAMES = [*sorted(name for name in vars(original) if name[0].isupper()), "run_dff_on_image"]
# the classes whose definition is that of the original, see docs/conformance.md
SAME = {
    "GradCAM": "curved",
    "XGradCAM": "curved",
    "LayerCAM": "curved",
    "HiResCAM": "curved",
    "GradCAMElementWise": "curved",
    "SegEigenCAM": "curved",
    "KPCA_CAM": "curved",
    "ShapleyCAM": "curved",
    "FinerCAM": "curved",
    "ScoreCAM": "full",
}


X = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(0))


def targets_of(module, classes):
    """Return the targets of a module for classes."""
    return [module.ClassifierOutputTarget(int(index)) for index in classes]


@pytest.mark.filterwarnings("ignore::fusioncam.FusionCamWarning")
@pytest.mark.parametrize("batch", [2, 1])
@pytest.mark.parametrize("category", [None, 3])
@pytest.mark.parametrize("name", CAMS)
def test_every_class_runs_as_in_the_original_s_own_tests(network, name, category, batch):
    """Layers by index, targets or None, a batch size from outside, eigen_smooth."""
    cam = getattr(ours, name)(model=network, target_layers=[network.layer4[-1], network.layer3])
    cam.batch_size = 16
    targets = None if category is None else [ClassifierOutputTarget(category) for _ in range(batch)]
    for eigen_smooth in (False, True):
        found = cam(input_tensor=X[:batch, :, :32, :32], targets=targets, aug_smooth=False, eigen_smooth=eigen_smooth)

        assert found.shape == (batch, 32, 32)
        assert found.dtype == np.float32
        assert 0 <= found.min() <= found.max() <= 1.00001
    assert cam.outputs.shape == (batch, 5)
    assert isinstance(cam.uses_gradients, bool)


def test_a_layer_with_one_location_has_empty_heatmaps(network):
    """The original's own tests use such layers; there is nothing to localise."""
    with pytest.warns(FusionCamWarning, match="constant heatmap"):
        found = GradCAM(network, [network.avgpool])(X, [lambda output: output[1]] * 2)

    assert (found.shape, found.max()) == ((2, 32, 40), 0)
    with pytest.raises(LayerError, match="not feature maps"):
        GradCAM(network, [network.fc])(X)


@pytest.mark.parametrize("name", SAME)
def test_heatmaps_equal_those_of_the_original(name):
    """Live, with targets of several classes in one batch."""
    problem = problem_of(SAME[name])
    x, layer = problem.x, problem.module
    theirs, mine = getattr(original, name)(problem.network, [layer]), getattr(ours, name)(problem.network, [layer])
    expected = theirs(x.clone(), targets_of(original.utils.model_targets, problem.target))
    problem.network.zero_grad()
    getattr(theirs, "base_cam", theirs).activations_and_grads.release()

    assert (
        max_difference(
            torch.from_numpy(mine(x, targets_of(model_targets, problem.target))), torch.from_numpy(expected)
        )
        < 1e-5
    )


@pytest.mark.parametrize("name", ["ClassifierOutputSoftmaxTarget", "ClassifierOutputReST"])
def test_targets_equal_those_of_the_original(name):
    """The gradient is that of what the target returns."""
    problem = problem_of("curved")
    with original.GradCAM(problem.network, [problem.module]) as theirs:
        expected = theirs(
            problem.x.clone(), [getattr(original.utils.model_targets, name)(int(c)) for c in problem.target]
        )
    problem.network.zero_grad()
    found = GradCAM(problem.network, [problem.module])(
        problem.x, [getattr(model_targets, name)(int(c)) for c in problem.target]
    )

    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_finer_cam_without_targets_equals_the_original():
    """The predicted class against the nearest ones, and a class that is named."""
    problem = problem_of("curved")
    for index in (None, 1):
        with original.FinerCAM(problem.network, [problem.module]) as theirs:
            expected = theirs(problem.x.clone(), target_idx=index)
        problem.network.zero_grad()
        with FinerCAM(problem.network, [problem.module]) as cam:
            np.testing.assert_allclose(cam(problem.x, target_idx=index), expected, atol=1e-5)


def test_augmentation_equals_the_original():
    """Mirror images at three contrasts, whose mean is not rescaled."""
    problem = problem_of("curved")
    with original.GradCAM(problem.network, [problem.module]) as theirs:
        expected = theirs(
            problem.x.clone(), targets_of(original.utils.model_targets, problem.target), aug_smooth=True
        )
    problem.network.zero_grad()
    found = GradCAM(problem.network, [problem.module])(
        problem.x, targets_of(model_targets, problem.target), aug_smooth=True
    )

    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_eigen_smooth_is_the_component_of_the_weighted_channels():
    """Of channels that all have one shape, it is that shape, as without it."""
    network = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    network[0].weight.data = torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1)
    x, targets = torch.rand(1, 1, 6, 6), [ClassifierOutputTarget(0)]
    network[3].weight.data.abs_()
    for method in (GradCAM, LayerCAM, ScoreCAM, AblationCAM, ours.ShapleyCAM):
        cam = method(network, [network[0]])
        np.testing.assert_allclose(cam(x, targets, eigen_smooth=True), cam(x, targets), atol=1e-5)


@pytest.mark.parametrize("method", [GradCAM, ScoreCAM, AblationCAM])
def test_a_batch_with_any_targets_is_what_single_images_are(network, method):
    """Targets are functions of one image's output, other ones for each image."""
    targets = [lambda output: output[1] + output[2], lambda output: output.logsumexp(0)]
    cam = method(network, [network.layer4])
    batch = cam(X, targets)

    assert batch.max((1, 2)).tolist() == [1, 1]
    for n, target in enumerate(targets):
        np.testing.assert_allclose(batch[n], cam(X[n : n + 1], [target])[0], atol=1e-4)


def test_the_readme_s_first_program(network):
    """A block, one image, an overlay."""
    with GradCAM(model=network, target_layers=[network.layer4[-1]]) as cam:
        grayscale_cam = cam(input_tensor=X[:1], targets=[ClassifierOutputTarget(2)])
        grayscale_cam = grayscale_cam[0, :]
        visualization = ours.show_cam_on_image(X[0].permute(1, 2, 0).numpy(), grayscale_cam, use_rgb=True)
        model_outputs = cam.outputs

    assert visualization.shape == (32, 40, 3)
    assert visualization.dtype == np.uint8
    assert model_outputs.shape == (1, 5)


def test_a_network_is_left_as_it_was(network):
    """No hook, gradient or mode remains, unlike with the original."""
    network.train()
    GradCAM(network, [network.layer4])(X)

    assert network.training
    network.eval()
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_an_error_inside_the_block_is_raised(network):
    """The original hides an IndexError."""
    with pytest.raises(IndexError), GradCAM(network, [network.layer4]):
        raise IndexError


def test_transformers_with_and_without_a_transform():
    """The transform is accepted, also where tokens are read by themselves; Ablation-CAM needs no own layer."""
    torch.manual_seed(3)
    network = VisionTransformer(8, 2, 2, 2, 8, 16, num_classes=3).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    layers, x = [network.encoder.layers[-1].ln_1], torch.rand(1, 3, 8, 8)
    for method, settings in ((GradCAM, {}), (ScoreCAM, {}), (AblationCAM, {"ablation_layer": AblationLayerVit()})):
        with_ = method(
            network, layers, reshape_transform=lambda tokens: vit_reshape_transform(tokens, 4, 4), **settings
        )
        np.testing.assert_allclose(with_(x), method(network, layers, **settings)(x), atol=2e-5)


@pytest.mark.slow
def test_detectors_run_as_in_the_tutorial():
    """Faster R-CNN's pyramid through its transform, boxes as targets; gradient methods have an error."""
    torch.manual_seed(0)
    detector = fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=3, box_score_thresh=0, min_size=320, max_size=320
    ).eval()
    x = torch.rand(1, 3, 320, 320)
    with torch.no_grad():
        found = detector(x)[0]
    targets = [model_targets.FasterRCNNBoxScoreTarget(found["labels"][:2].tolist(), found["boxes"][:2].numpy())]
    settings = {
        "model": detector,
        "target_layers": [detector.backbone],
        "reshape_transform": fasterrcnn_reshape_transform,
    }
    cam = EigenCAM(**settings)

    assert cam(x, targets=targets).shape == (1, 320, 320)
    assert set(cam.outputs[0]) >= {"boxes", "labels", "scores"}
    with pytest.raises(MethodError, match="computes maps instead of rearranging"):
        GradCAM(**settings)(x, targets=targets)
    with pytest.raises(TargetError, match="pass targets="):
        cam(x)


def test_segmentation_targets():
    """The sum over a mask, with its gradient."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    network[2].weight.data.abs_()
    target = model_targets.SemanticSegmentationTarget(1, np.ones((8, 8), np.float32))
    found = GradCAM(network, [network[1]])(X[:1, :, :8, :8], [target])

    class AsTorchvision(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return {"out": self.network(x)}

    np.testing.assert_array_equal(GradCAM(AsTorchvision().eval(), ["network.1"])(X[:1, :, :8, :8], [target]), found)
    assert found.max() == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_the_original_exists(name):
    """As a class with a method, or with an error that says what to use instead."""
    made = getattr(ours, name)
    if (
        name in CAMS
        or name in {"FinerCAM", "GuidedBackpropReLUModel", "DeepFeatureFactorization"}
        or name.startswith("AblationLayer")
    ):
        assert made.__doc__
        return
    with pytest.raises(MethodError, match=f"fusioncam has no {name}: use "):
        made(nn.Identity(), [])


@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
def test_deep_feature_factorization_is_as_close_as_the_original():
    """Both reduce the same error, from other first factors; shapes and the parts of the result are the same."""
    problem = problem_of("curved")
    x, network = problem.x.float(), copy.deepcopy(problem.network).float()
    maps = network.features(x).detach()
    classifier = nn.Linear(maps.shape[1], 3)
    settings = {"model": network, "target_layer": network.features, "computation_on_concepts": classifier}
    theirs = original.DeepFeatureFactorization(**settings)(x, n_components=3)
    mine = ours.DeepFeatureFactorization(**settings)(x, n_components=3)

    assert [np.shape(part) for part in mine] == [np.shape(part) for part in theirs]
    assert all(0 <= image.min() <= image.max() <= 1 for image in mine[1])
    offset = maps.transpose(0, 1).flatten(1).amin(1)[:, None].numpy()

    def error(module):
        concepts, parts = module.dff(maps.numpy().copy(), 3)
        product = (concepts - offset) @ parts.transpose(1, 0, 2, 3).reshape(3, -1)
        return np.linalg.norm(product + offset - maps.transpose(0, 1).flatten(1).numpy())

    name = "feature_factorization.deep_feature_factorization"
    errors = [
        error(importlib.import_module(f"{package}.{name}"))
        for package in ("fusioncam.compat.pytorch_grad_cam", "pytorch_grad_cam")
    ]
    assert errors[0] < 1.1 * errors[1]


@pytest.mark.parametrize(
    "module",
    [
        "utils.model_targets",
        "utils.reshape_transforms",
        "utils.image",
        "utils.find_layers",
        "utils.svd_on_activations",
        "metrics.road",
        "metrics.cam_mult_image",
        "metrics.perturbation_confidence",
        "metrics.arcc",
        "base_cam",
        "ablation_layer",
        "guided_backprop",
        "finer_cam",
        "feature_factorization.deep_feature_factorization",
    ],
)
def test_modules_have_the_names_of_the_original(module):
    """All of its own functions and classes, except for the parts of which they consist."""
    theirs = importlib.import_module(f"pytorch_grad_cam.{module}")
    mine = importlib.import_module(f"fusioncam.compat.pytorch_grad_cam.{module}")
    parts = {
        "GuidedBackpropReLU",
        "GuidedBackpropReLUasModule",
        "replace_layer_recursive",
        "replace_all_layer_type_recursive",
        "get_2d_projection_kernel",
        "get_2d_projection_with_sign_correction",
        "batch_pearson_coherency",
    }
    names = {name for name, value in vars(theirs).items() if getattr(value, "__module__", "") == theirs.__name__}

    assert {name for name in names if not name.startswith("_")} - parts <= set(vars(mine))


def test_guided_backpropagation_equals_the_original(network):
    """And the network's ReLUs are not replaced."""
    relus = [module for module in network.modules() if isinstance(module, nn.ReLU)]
    found = GuidedBackpropReLUModel(model=network, device="cpu")(X[:1], target_category=1)

    assert [module for module in network.modules() if isinstance(module, nn.ReLU)] == relus
    expected = original.GuidedBackpropReLUModel(model=network, device="cpu")(X[:1].clone(), target_category=1)
    network.zero_grad()
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_refine_cam_multiplies_its_layers(network):
    """The product of the base method's heatmaps, rescaled."""
    layers = [network.layer3, network.layer4]
    parts = [LayerCAM(network, [layer])(X) for layer in layers]
    product = parts[0] * parts[1]

    found = RefineCAM(network, layers, base_method=LayerCAM)(X)
    expected = (product - product.min((1, 2), keepdims=True)) / np.ptp(product, (1, 2), keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda net: GradCAM(net, [net.layer4])(X, [ClassifierOutputTarget(1)]),
            TargetError,
            "each of 2 images, got 1",
        ),
        (lambda net: GradCAM(net, [net.layer4])(X, [281, 282]), InputTypeError, r"ClassifierOutputTarget\(281\)"),
        (
            lambda net: GradCAM(net, [net.layer4])(X, [model_targets.RawScoresOutputTarget()] * 2),
            TargetError,
            "one number",
        ),
        (
            lambda net: GradCAM(net, [net.layer4])(X, [ClassifierOutputTarget(9)] * 2),
            TargetError,
            "from 0 to 4, got 9",
        ),
        (lambda net: GradCAM(net, [nn.Conv2d(1, 1, 1)]), LayerError, "not part of this network"),
        (lambda net: GradCAM(net, [net.layer4], use_cuda=True), FusionCamError, r"model.to\('cuda'\)"),
        (lambda net: AblationCAM(net, [net.layer4], ratio_channels_to_ablate=0.5), FusionCamError, "recipro-cam"),
        (lambda net: BaseCAM(net, [net.layer4]), MethodError, "derive your own from fusioncam.methods.RecordedCAM"),
        (lambda net: RefineCAM(net, [net.layer4], base_method=original.GradCAM), InputTypeError, "of this package"),
    ],
)
def test_mistakes_have_an_error(network, call, error, message):
    """Each says what was given and what to do."""
    with pytest.raises(error, match=message):
        call(network)


def test_eigen_smooth_without_channels_has_a_warning(network):
    """FullGrad has no weighted channels to decompose."""
    with pytest.warns(FusionCamWarning, match="no effect on FullGrad"):
        FullGrad(network, [])(X, eigen_smooth=True)


def test_several_layers_and_a_layer_alone(network):
    """A module that is a sequence is one layer, not its parts; several are averaged."""
    alone = GradCAMPlusPlus(network, network.layer4)

    assert [type(layer) for layer in alone.target_layers] == [nn.Sequential]
    np.testing.assert_array_equal(alone(X), GradCAMPlusPlus(network, ["layer4"])(X))
