"""Live comparison with the peers from PyPI where the definitions agree; where not, which is right and why."""

from __future__ import annotations

import pytest
import torch
from pytorch_grad_cam import GradCAM as PeerGradCAM
from pytorch_grad_cam import ScoreCAM as PeerScoreCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torchcam.methods import GradCAM as TorchcamGradCAM
from torchcam.methods import ScoreCAM as TorchcamScoreCAM

from fusioncam import METHODS, ExplainedModel
from fusioncam.maps import minmax, upsample
from fusioncam.methods import ScoreCAM
from toys import CLASSES, Toy, problem

# float32 arithmetic, and the 1e-7 or 1e-8 that the peers add to their denominators
ATOL = 2e-5


def float_problem(name="curved"):
    """Give a toy in float32, as the peers compute."""
    toy, x, target = problem(name)
    return toy.float(), x.float(), target


def of_pytorch_grad_cam(peer, toy, x, target):
    """Ask pytorch-grad-cam."""
    with peer(model=toy, target_layers=[toy.features]) as cam:
        if isinstance(cam, PeerScoreCAM):
            cam.batch_size = 3
        return torch.from_numpy(cam(input_tensor=x, targets=[ClassifierOutputTarget(int(c)) for c in target]))


def of_torchcam(peer, toy, x, target, **settings):
    """Ask torch-cam, which gives maps of the layer's size, and bring them to the input's."""
    with peer(toy, "features", **settings) as extractor:
        logits = toy(x)
        cams = extractor(target.tolist(), logits)[0].detach()
    return minmax(upsample(cams, x.shape[2:]))


@pytest.mark.parametrize("name", ["curved", "small"])
def test_grad_cam_agrees_with_both(name):
    """All three compute Grad-CAM alike, up to where they stretch to [0, 1], which changes nothing at the end."""
    toy, x, target = float_problem(name)

    ours = METHODS["grad-cam"](ExplainedModel(toy, "features"), x, target)

    torch.testing.assert_close(of_pytorch_grad_cam(PeerGradCAM, toy, x, target), ours, atol=ATOL, rtol=0)
    torch.testing.assert_close(of_torchcam(TorchcamGradCAM, toy, x, target), ours, atol=ATOL, rtol=0)


def full_size():
    """Give a toy whose maps have the input's size, so that no two ways of upsampling differ."""
    features = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, CLASSES))
    return Toy(features, head).eval(), torch.randn(2, 3, 8, 8), torch.tensor([0, 2])


def test_score_cam_agrees_with_both_where_nothing_is_upsampled():
    """Logits, a softmax over the channels and raw channels: the same three times."""
    toy, x, target = full_size()

    ours = METHODS["score-cam"](ExplainedModel(toy, "features"), x, target)

    torch.testing.assert_close(of_pytorch_grad_cam(PeerScoreCAM, toy, x, target), ours, atol=ATOL, rtol=0)
    torch.testing.assert_close(of_torchcam(TorchcamScoreCAM, toy, x, target, batch_size=4), ours, atol=ATOL, rtol=0)


def test_torchcam_stretches_before_upsampling():
    """torch-cam stretches a mask before it brings it to the input's size: our `normalise="before"`.

    The paper (eq. 4 and 5) upsamples first, so that a mask reaches 1 in the input: our default.
    """
    toy, x, target = float_problem("curved")
    model = ExplainedModel(toy, "features")
    theirs = of_torchcam(TorchcamScoreCAM, toy, x, target, batch_size=4)

    torch.testing.assert_close(ScoreCAM(normalise="before")(model, x, target), theirs, atol=ATOL, rtol=0)
    assert not torch.allclose(ScoreCAM()(model, x, target), theirs, atol=ATOL, rtol=0)


def test_pytorch_grad_cam_aligns_corners(monkeypatch):
    """pytorch-grad-cam upsamples masks with aligned corners, which shifts them against the heatmap.

    The heatmap itself it upsamples without, as the authors' code does for both, and so do we. With aligned
    corners in our masks the two agree.
    """
    toy, x, target = float_problem("curved")
    model = ExplainedModel(toy, "features")
    theirs = of_pytorch_grad_cam(PeerScoreCAM, toy, x, target)
    assert not torch.allclose(ScoreCAM()(model, x, target), theirs, atol=ATOL, rtol=0)

    def aligned(maps, size):
        return nn.functional.interpolate(maps[:, None], size=tuple(size), mode="bilinear", align_corners=True)[:, 0]

    monkeypatch.setattr("fusioncam.masks.upsample", aligned)

    torch.testing.assert_close(ScoreCAM()(model, x, target), theirs, atol=ATOL, rtol=0)
