"""Vision Transformer of timm, with registers"""

import timm
import torch

import fusioncam as fc

torch.manual_seed(0)
network = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=5, depth=2, reg_tokens=4).eval()
torch.nn.init.normal_(network.head.weight)
x = torch.rand(1, 3, 64, 64)

# explain it
model = fc.ExplainedModel(network)
heatmaps = fc.METHODS["grad-cam"](model, x, target=0)
