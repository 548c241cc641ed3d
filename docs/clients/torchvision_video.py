"""Video ResNet of torchvision, for clips and volumes"""

import torch
from torchvision.models.video import r3d_18

import fusioncam as fc

torch.manual_seed(0)
network = r3d_18(num_classes=4).eval()
x = torch.rand(1, 3, 8, 64, 64)  # (N, C, T, H, W)

# explain it
model = fc.ExplainedModel(network)
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)  # (N, T, H, W)
