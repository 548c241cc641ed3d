"""DETR of transformers, detection"""

import torch
from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

import fusioncam as fc

torch.manual_seed(0)
backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1] * 4, out_features=["stage4"])
small = dict(d_model=32, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=64, decoder_ffn_dim=64)
network = DetrForObjectDetection(DetrConfig(backbone_config=backbone, num_queries=10, num_labels=3, **small)).eval()
x = torch.rand(1, 3, 128, 128)

# explain the most confident box
((found, *others),) = fc.tasks.find_boxes(network, x, threshold=0)
model = fc.ExplainedModel(fc.tasks.Detection(network, found.box, found.label))
heatmaps = fc.METHODS["layer-cam"](model, x, target=1)  # 1: found
