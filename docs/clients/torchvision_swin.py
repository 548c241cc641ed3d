"""Swin of torchvision"""

import torch
from torchvision.models import SwinTransformer

import fusioncam as fc

torch.manual_seed(0)
network = SwinTransformer([4, 4], 16, depths=[1, 1], num_heads=[2, 4], window_size=[4, 4], num_classes=5).eval()
x = torch.rand(1, 3, 64, 64)

# explain it
model = fc.ExplainedModel(network)
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)
