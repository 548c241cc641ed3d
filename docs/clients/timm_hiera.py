"""Hiera of timm"""

import torch
from timm.models.hiera import Hiera

import fusioncam as fc

torch.manual_seed(0)
network = Hiera((64, 64), embed_dim=16, num_heads=1, stages=(1, 1, 2), q_pool=2, num_classes=5).eval()
torch.nn.init.normal_(network.head.fc.weight)
x = torch.rand(1, 3, 64, 64)

# explain it
model = fc.ExplainedModel(network)
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)
