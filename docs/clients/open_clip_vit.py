"""CLIP of open_clip, text prompts"""

import open_clip
import torch

import fusioncam as fc

torch.manual_seed(0)
image = {"image_size": 64, "patch_size": 16, "width": 64, "layers": 2, "head_width": 32}
text = {"context_length": 8, "vocab_size": 50000, "width": 32, "heads": 2, "layers": 1}
network = open_clip.CLIP(32, image, text).eval()
tokenizer = open_clip.SimpleTokenizer(context_length=8)
x = torch.rand(1, 3, 64, 64)

# explain it
model = fc.ExplainedModel(fc.tasks.TextPrompts(network, ["a cat", "a red bicycle"], tokenizer))
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)
