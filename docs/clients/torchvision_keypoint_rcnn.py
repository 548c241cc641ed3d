"""Keypoint R-CNN of torchvision, detection"""

import torch
from torchvision.models.detection import keypointrcnn_resnet50_fpn

import fusioncam as fc

torch.manual_seed(3)
network = keypointrcnn_resnet50_fpn(
    weights=None,
    weights_backbone=None,
    num_classes=2,
    num_keypoints=3,
    min_size=128,
    max_size=128,
    box_score_thresh=0,
    box_detections_per_img=2,
).eval()
x = torch.rand(1, 3, 128, 128)

# explain the most confident box
((found, *others),) = fc.tasks.find_boxes(network, x, threshold=0)
model = fc.ExplainedModel(fc.tasks.Detection(network, found.box, found.label))
heatmaps = fc.METHODS["layer-cam"](model, x, target=1)  # 1: found
