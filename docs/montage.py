"""Draw each method on four free images: `python docs/montage.py [NAME...]` takes some minutes for all methods.

Writes docs/images/methods/NAME.jpg for the page of the methods. The slowest methods use fewer samples than by
default. Methods for transformers and detectors are left out.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data

import fusioncam as fc
from fusioncam.utils.text import slug
from fusioncam.visualization import OverlayStyle, overlay

FOLDER = Path(__file__).parent / "images"
IMAGES = {"cat": "chelsea.png", "cup and spoon": "coffee.png", "small rocket": "rocket.jpg", "texture": "brick.png"}
FEWER = {
    "ss-cam": {"samples": 2},
    "is-cam": {"samples": 2},
    "rise": {"masks": 1000},
    "expected-grad-cam": {"samples": 20},
    "hsic": {"masks": 250},
    "sobol": {"designs": 16},
}
# an overlay that fades hides heatmaps of single pixels, such as those of gradients of the input
STYLE = OverlayStyle(fade=False)
SIDE, GAP = 200, 4
# methods made for vision transformers and detectors
FOR_OTHERS = ("legrad", "grad-eclip", "attention-rollout", "attention-relevance", "d-rise")


def heatmaps_of(
    image: Image.Image, model: fc.ExplainedModel, names: list[str]
) -> tuple[Image.Image, dict[str, torch.Tensor]]:
    """Return the image as the network uses it, and its heatmap for the predicted class by each method."""
    x = model.preprocessing(image)[None]
    heatmaps = {}
    with fc.cached_passes():
        target = model.logits(x).argmax(1)
        for name in names:
            print(name, file=sys.stderr)
            heatmaps[name] = replace(fc.METHODS[name], **FEWER.get(name, {}))(model, x, target)[0]
    return model.preprocessing.view(image), heatmaps


def strip(images: list[Image.Image]) -> Image.Image:
    """Return the images in a row."""
    white = np.full((SIDE, GAP, 3), 255, np.uint8)
    parts = [part for image in images for part in (np.asarray(image.resize((SIDE, SIDE))), white)]
    return Image.fromarray(np.hstack(parts[:-1]))


def main(chosen: list[str]) -> None:
    warnings.simplefilter("ignore", fc.FusionCamWarning)
    model = fc.load_model(device="cpu")
    folder = Path(data.__file__).parent
    names = chosen or [name for name in fc.METHODS if name not in FOR_OTHERS]
    explained = [heatmaps_of(Image.open(folder / file).convert("RGB"), model, names) for file in IMAGES.values()]
    (FOLDER / "methods").mkdir(exist_ok=True)
    for name in names:
        images = [overlay(view, heatmaps[name].numpy(), STYLE) for view, heatmaps in explained]
        strip(images).save(FOLDER / "methods" / f"{slug(name)}.jpg", quality=80)


if __name__ == "__main__":
    main(sys.argv[1:])
