"""DenseNet of MONAI, volumes"""

import torch
from monai.data import MetaTensor
from monai.networks.nets import DenseNet121

import fusioncam as fc

torch.manual_seed(0)
network = DenseNet121(spatial_dims=3, in_channels=1, out_channels=4).eval()
x = MetaTensor(torch.rand(1, 1, 32, 32, 32))

# explain it
model = fc.ExplainedModel(network)
heatmaps = fc.METHODS["grad-cam"](model, x, target=0)  # (N, D, H, W)
