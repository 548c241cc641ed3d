"""MLP-Mixer of timm"""

import timm
import torch

import fusioncam as fc

torch.manual_seed(0)
network = timm.create_model("mixer_s16_224", img_size=64, num_classes=5).eval()
torch.nn.init.normal_(network.head.weight)
x = torch.rand(1, 3, 64, 64)

# explain it
model = fc.ExplainedModel(network)
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)
