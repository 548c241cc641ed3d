"""Draw the image of the README from three free images of scikit-image.

python docs/hero.py
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from skimage import data

import fusioncam as fc
from fusioncam.visualization import side_by_side

METHODS = {"grad-cam": "Grad-CAM", "score-cam": "Score-CAM", "fusion-cam": "Fusion-CAM"}


def main():
    images = [Image.fromarray(pixels) for pixels in (data.chelsea(), data.coffee(), data.stereo_motorcycle()[0])]
    explanations = list(fc.explain_each(images, methods=list(METHODS)))
    panels = []
    for row in range(0, len(explanations), len(METHODS)):
        of_image = explanations[row : row + len(METHODS)]
        first = of_image[0]
        panels.append((f"{first.class_name}, {first.probability:.0%}", first.image))
        panels += [(METHODS[explanation.method], explanation.overlay()) for explanation in of_image]
    image = side_by_side(panels, columns=1 + len(METHODS))
    image.save(Path(__file__).parent / "images" / "fusion-cam.jpg", quality=88)


if __name__ == "__main__":
    main()
