"""VideoMAE of transformers, clips"""

import torch
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

import fusioncam as fc

torch.manual_seed(0)
small = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96)
network = VideoMAEForVideoClassification(VideoMAEConfig(image_size=64, num_labels=4, **small)).eval()
x = torch.rand(1, 3, 16, 64, 64)  # (N, C, T, H, W), as heatmaps need it


# explain it: the network takes (N, T, C, H, W)
class Frames(torch.nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)


model = fc.ExplainedModel(torch.nn.Sequential(Frames(), network))
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)  # (N, T, H, W)
