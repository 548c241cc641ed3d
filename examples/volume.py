"""Explain a medical volume: a 3-D network takes x (N, C, D, H, W) and has heatmaps (N, D, H, W).

python examples/volume.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data
from skimage.transform import resize
from torch import nn
from torchvision.models.video import r3d_18

import fusioncam as fc
from fusioncam.methods.fusion import FusionCAM
from fusioncam.methods.gradient import GradCAM
from fusioncam.visualization import overlay, side_by_side

DEPTH, SIDE = 16, 48


def phantom() -> np.ndarray:
    """Return a grey volume ``(D, H, W)`` in [0, 1]: the Shepp-Logan phantom, smaller towards both ends."""
    volume = np.zeros((DEPTH, SIDE, SIDE), np.float32)
    for index, slice_ in enumerate(volume):
        side = round(SIDE * np.sin(np.pi * (index + 1) / (DEPTH + 1)))
        start = (SIDE - side) // 2
        slice_[start : start + side, start : start + side] = resize(data.shepp_logan_phantom(), (side, side))
    return volume


def main(folder: str | None = None) -> None:
    """Explain a phantom with a 3-D ResNet with random weights, whose first layer takes one channel."""
    torch.manual_seed(0)
    network = r3d_18(num_classes=2)
    network.stem[0] = nn.Conv3d(1, 64, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False)
    model = fc.ExplainedModel(network, layer="layer3")

    # fc.explain("scan.nii.gz", model=...) opens files; here the volume is normalised and passed to the methods
    volume = phantom()
    x = (torch.from_numpy(volume)[None, None] - 0.5) / 0.5
    target = model.logits(x).argmax(1)
    for name, method in {"grad-cam": GradCAM(), "fusion-cam": FusionCAM(budget=8)}.items():
        heatmap = method(model, x, target)[0]
        deepest = heatmap.flatten(1).sum(1).argmax().item()
        print(f"{name}: {tuple(heatmap.shape)}, most in slice {deepest}")
        if folder:
            save(Path(folder), name, volume, heatmap.numpy())


def save(folder: Path, name: str, volume: np.ndarray, heatmap: np.ndarray) -> None:
    """Write the heatmap, and overlays of every second slice."""
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}.npy", heatmap)
    slices = [Image.fromarray((255 * pixels).astype(np.uint8)).resize((192, 192)) for pixels in volume]
    panels = [(f"slice {index}", overlay(slices[index], heatmap[index])) for index in range(0, DEPTH, 2)]
    side_by_side(panels, name, columns=4).save(folder / f"{name}.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
