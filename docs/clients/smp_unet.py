"""U-Net of segmentation_models_pytorch, with a second head"""

import segmentation_models_pytorch as smp
import torch

import fusioncam as fc

torch.manual_seed(0)
network = smp.Unet("resnet18", encoder_weights=None, classes=3, aux_params={"classes": 5}).eval()
x = torch.rand(1, 3, 64, 64)

# explain it: the score of a class is from its logits where the network predicts it
model = fc.ExplainedModel(fc.tasks.Segmentation(network))
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)
