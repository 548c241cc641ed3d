"""YOLOv8 of ultralytics, boxes of a pose network"""

import torch
from ultralytics import YOLO

import fusioncam as fc

torch.manual_seed(0)
network = YOLO("yolov8n-pose.yaml").model.eval()
x = torch.rand(1, 3, 128, 128)

# explain the most confident box
((found, *others),) = fc.tasks.find_boxes(network, x, threshold=0)
model = fc.ExplainedModel(fc.tasks.Detection(network, found.box, found.label))
heatmaps = fc.METHODS["layer-cam"](model, x, target=1)  # 1: found
