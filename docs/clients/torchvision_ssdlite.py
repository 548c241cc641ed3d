"""SSDLite of torchvision, detection"""

import torch
from torchvision.models.detection import ssdlite320_mobilenet_v3_large

import fusioncam as fc

torch.manual_seed(0)
network = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3, score_thresh=0).eval()
x = torch.rand(1, 3, 128, 128)

# explain the most confident box
((found, *others),) = fc.tasks.find_boxes(network, x, threshold=0)
model = fc.ExplainedModel(fc.tasks.Detection(network, found.box, found.label))
heatmaps = fc.METHODS["layer-cam"](model, x, target=1)  # 1: found
