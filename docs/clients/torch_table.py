"""Network of torch with a table beside the image"""

import torch
from torch import nn
from torchvision.models import resnet18

import fusioncam as fc


class Diagnosis(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = resnet18(num_classes=16)
        self.head = nn.Linear(16 + 2, 3)

    def forward(self, image, table):
        return self.head(torch.cat([self.backbone(image), table], 1))


torch.manual_seed(0)
network = Diagnosis().eval()
x, patient = torch.rand(1, 3, 64, 64), torch.tensor([[0.4, 0.7]])  # age and weight

# explain it
model = fc.ExplainedModel(network, extra={"table": patient}, vary="image")
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)
