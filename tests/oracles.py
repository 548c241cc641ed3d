"""Reference heatmaps of both public codes."""

from __future__ import annotations

import numpy as np
import torch

FILES = [f"{name}_blocks.6" for name in ("012", "066", "207", "340", "404", "555", "817")] + ["281_bn2"]


class Oracle:
    """One reference file: an image, a layer, a class, and the heatmaps of both codes."""

    def __init__(self, folder, file, lite0):
        self.stored = np.load(folder / "oracles" / f"{file}.npz")
        pixels = torch.from_numpy(self.stored["image_u8"]).permute(2, 0, 1)[None].float() / 255
        self.x = (pixels - 0.498) / 0.502
        self.model = lite0.with_layer(str(self.stored["layer"]))
        self.target = int(self.stored["target"])

    def difference(self, method, key):
        """Return the largest absolute difference of our heatmap from the stored one."""
        heatmap = method(self.model, self.x, self.target)[0].numpy()
        return float(np.abs(heatmap - self.stored[key].squeeze()).max())
