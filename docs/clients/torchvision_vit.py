"""Vision Transformer of torchvision"""

import torch
from torchvision.models import VisionTransformer

import fusioncam as fc

torch.manual_seed(0)
network = VisionTransformer(64, 16, num_layers=2, num_heads=3, hidden_dim=48, mlp_dim=96, num_classes=5).eval()
torch.nn.init.normal_(network.heads.head.weight)
x = torch.rand(1, 3, 64, 64)

# explain it
model = fc.ExplainedModel(network)
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)
