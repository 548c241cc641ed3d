"""U-Net of MONAI, segmentation of volumes"""

import torch
from monai.networks.nets import UNet

import fusioncam as fc

torch.manual_seed(0)
network = UNet(3, in_channels=1, out_channels=3, channels=(4, 8, 16), strides=(2, 2), norm="batch").eval()
x = torch.rand(1, 1, 16, 16, 16)

# explain it: the score of a class is from its logits where the network predicts it
model = fc.ExplainedModel(fc.tasks.Segmentation(network))
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)
