"""YOLO of ultralytics, classification"""

import torch
from ultralytics import YOLO

import fusioncam as fc

torch.manual_seed(0)
network = YOLO("yolov8n-cls.yaml")
x = torch.rand(1, 3, 224, 224)

# explain it
model = fc.ExplainedModel(network)
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)
