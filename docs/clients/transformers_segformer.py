"""SegFormer of transformers, segmentation"""

import torch
from transformers import SegformerConfig, SegformerForSemanticSegmentation

import fusioncam as fc

torch.manual_seed(0)
config = SegformerConfig(num_labels=4, hidden_sizes=[8, 16, 24, 32], depths=[1] * 4, decoder_hidden_size=32)
network = SegformerForSemanticSegmentation(config).eval()
x = torch.rand(1, 3, 64, 64)

# explain it: the score of a class is from its logits where the network predicts it
model = fc.ExplainedModel(fc.tasks.Segmentation(network))
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)
