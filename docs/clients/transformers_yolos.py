"""YOLOS of transformers, detection"""

import torch
from transformers import YolosConfig, YolosForObjectDetection

import fusioncam as fc

torch.manual_seed(0)
small = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96)
network = YolosForObjectDetection(
    YolosConfig(image_size=[64, 64], num_detection_tokens=10, num_labels=3, **small)
).eval()
x = torch.rand(1, 3, 64, 64)

# explain the most confident box
((found, *others),) = fc.tasks.find_boxes(network, x, threshold=0)
model = fc.ExplainedModel(fc.tasks.Detection(network, found.box, found.label))
heatmaps = fc.METHODS["layer-cam"](model, x, target=1)  # 1: found
