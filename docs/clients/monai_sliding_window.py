"""U-Net of MONAI through a sliding window, for volumes that are too large"""

import torch
from monai.data import MetaTensor
from monai.networks.nets import UNet

import fusioncam as fc

torch.manual_seed(0)
network = UNet(3, in_channels=1, out_channels=3, channels=(4, 8, 16), strides=(2, 2), norm="batch").eval()
x = MetaTensor(torch.rand(1, 1, 32, 16, 16))

# explain it: the score of a class is its highest one in any window
window = fc.tasks.SlidingWindow(fc.tasks.Segmentation(network), (16, 16, 16), overlap=0)
model = fc.ExplainedModel(window)
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)
