"""ResNet of torchvision"""

import torch
from torchvision.models import resnet18

import fusioncam as fc

torch.manual_seed(0)
network = resnet18(num_classes=5).eval()
x = torch.rand(1, 3, 64, 64)

# explain it
model = fc.ExplainedModel(network)
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)
