"""Network of TorchScript"""

import torch
from torchvision.models import resnet18

import fusioncam as fc

torch.manual_seed(0)
network = torch.jit.trace(resnet18(num_classes=5).eval(), torch.rand(1, 3, 64, 64))
x = torch.rand(1, 3, 64, 64)

# explain it
model = fc.ExplainedModel(network)
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)
