"""Use captum and Quantus: compare their attributions with our methods, and run their metrics on our heatmaps.

python examples/quantus_captum.py [FOLDER]
"""

from __future__ import annotations

import sys
import warnings

import torch
from captum.attr import IntegratedGradients
from PIL import Image
from skimage import data
from torch import Tensor

import fusioncam as fc
from fusioncam.metrics.curves import Deletion

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports warn about packages that are not installed
    import quantus

STEPS = 16


def captum_ig(model: fc.ExplainedModel, x: Tensor, target: Tensor) -> Tensor:
    """Return captum's Integrated Gradients as heatmaps ``(N, H, W)`` in [0, 1]."""
    attributions = IntegratedGradients(model.network).attribute(x, target=target, n_steps=8)
    strength = attributions.detach().float().abs().sum(1)
    return strength / strength.amax((1, 2), keepdim=True)


def flipped(model: fc.ExplainedModel, x: Tensor, target: Tensor, heatmaps: Tensor) -> float:
    """Return the mean of Quantus' pixel flipping curve; a good heatmap makes it fall fast."""
    metric = quantus.PixelFlipping(
        features_in_step=x[0, 0].numel() // STEPS,
        perturb_baseline="mean",
        disable_warnings=True,
        display_progressbar=False,
    )
    arrays = {"x_batch": x.numpy(), "y_batch": target.numpy(), "a_batch": heatmaps[:, None].numpy()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (curve,) = metric(model=model.network, **arrays, softmax=True, device="cpu")
    return sum(curve) / len(curve)


def main(folder: str | None = None) -> None:
    """Compare captum's heatmap with ours, and measure both with our metric and with Quantus'."""
    model = fc.load_model(device="cpu")
    image = Image.fromarray(data.chelsea())
    comparison = fc.compare(image, [captum_ig, "integrated-gradients(steps=8)", "grad-cam"], model=model)
    x = model.preprocessing(image)[None]
    for explanation in comparison:
        target, heatmaps = torch.tensor([explanation.target]), explanation.heatmap[None]
        ours = Deletion(steps=STEPS)(model, x, target, heatmaps).item()
        theirs = flipped(model, x, target, heatmaps)
        print(f"{explanation.method}: deletion {ours:.3f}, Quantus' pixel flipping {theirs:.3f}")
    if folder:
        comparison.save(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
