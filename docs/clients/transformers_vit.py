"""ViT of transformers"""

import torch
from transformers import ViTConfig, ViTForImageClassification

import fusioncam as fc

torch.manual_seed(0)
small = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96)
network = ViTForImageClassification(ViTConfig(image_size=64, num_labels=4, **small)).eval()
x = torch.rand(1, 3, 64, 64)

# explain it
model = fc.ExplainedModel(network)
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)
