"""Explain every box that a YOLO network of ultralytics finds.

python examples/yolo.py [FOLDER]
"""

from __future__ import annotations

import sys

import torch
from skimage import data
from ultralytics import YOLO

import fusioncam as fc


def main(folder: str | None = None) -> None:
    """Explain an untrained network, so ``target="top3"`` chooses boxes; ``YOLO("yolo11n.pt")`` is a trained one."""
    torch.manual_seed(0)
    network = YOLO("yolo11n.yaml")

    boxes = fc.compare(data.chelsea(), ["layer-cam"], model=network, target="top3")
    for explanation in boxes:
        print(explanation)
    if folder:
        boxes.save(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
