"""DeepLab of torchvision, segmentation"""

import torch
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

import fusioncam as fc

torch.manual_seed(0)
network = deeplabv3_mobilenet_v3_large(weights_backbone=None, num_classes=3).eval()
x = torch.rand(1, 3, 64, 64)

# explain it: the score of a class is from its logits where the network predicts it
model = fc.ExplainedModel(fc.tasks.Segmentation(network))
heatmaps = fc.METHODS["grad-cam"](model, x, target=2)
