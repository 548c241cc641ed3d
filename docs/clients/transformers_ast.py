"""AST of transformers, spectrograms"""

import torch
from transformers import ASTConfig, ASTForAudioClassification

import fusioncam as fc

torch.manual_seed(0)
small = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96)
sides = dict(num_mel_bins=64, max_length=128, frequency_stride=16, time_stride=16)
network = ASTForAudioClassification(ASTConfig(num_labels=4, **sides, **small)).eval()
x = torch.rand(1, 1, 128, 64)  # (N, 1, time, mel)


# explain it: the network takes (N, time, mel)
class Spectrogram(torch.nn.Module):
    def forward(self, x):
        return x[:, 0]


model = fc.ExplainedModel(torch.nn.Sequential(Spectrogram(), network))
heatmaps = fc.METHODS["grad-cam"](model, x, target=2)  # (N, time, mel)
