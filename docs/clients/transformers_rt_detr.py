"""RT-DETR of transformers, detection"""

import torch
from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig

import fusioncam as fc

torch.manual_seed(3)
backbone = RTDetrResNetConfig(
    embedding_size=16, hidden_sizes=[16, 32, 64, 128], depths=[1] * 4, out_features=["stage2", "stage3", "stage4"]
)
encoder = {"encoder_in_channels": [32, 64, 128], "encoder_hidden_dim": 64}
decoder = {"decoder_in_channels": [64] * 3, "d_model": 64, "num_queries": 10}
network = RTDetrForObjectDetection(RTDetrConfig(backbone_config=backbone, num_labels=3, **encoder, **decoder)).eval()
x = torch.rand(1, 3, 128, 128)

# explain the most confident box
((found, *others),) = fc.tasks.find_boxes(network, x, threshold=0)
model = fc.ExplainedModel(fc.tasks.Detection(network, found.box, found.label))
heatmaps = fc.METHODS["layer-cam"](model, x, target=1)  # 1: found
