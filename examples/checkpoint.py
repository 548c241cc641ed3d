"""Explain your own weights: an architecture of timm, your state dict and your class names.

python examples/checkpoint.py [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from skimage import data

import fusioncam as fc


def train(folder: Path) -> tuple[Path, Path]:
    """Write the two files that your training would write; these weights are random."""
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=3)
    save_file(network.state_dict(), folder / "mine.safetensors")
    (folder / "names.txt").write_text("healthy\nrust\nmildew\n")
    return folder / "mine.safetensors", folder / "names.txt"


def main(folder: str | None = None) -> None:
    """Load the network from the files and explain one of its classes."""
    with tempfile.TemporaryDirectory() as trained:
        checkpoint, labels = train(Path(trained))
        model = fc.load_model("timm:resnet18", checkpoint=checkpoint, num_classes=3, labels=labels, device="cpu")
    explanation = fc.explain(data.chelsea(), model=model, target="rust", method="grad-cam")
    print(explanation)
    if folder:
        explanation.save(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
