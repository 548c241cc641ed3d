"""SigLIP of transformers, text prompts"""

import torch
from transformers import SiglipConfig, SiglipModel

import fusioncam as fc

torch.manual_seed(0)
small = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96)
text = dict(vocab_size=100, max_position_embeddings=8, bos_token_id=98, eos_token_id=99, **small)
network = SiglipModel(
    SiglipConfig(text_config=text, vision_config=dict(image_size=64, patch_size=16, **small))
).eval()
x = torch.rand(1, 3, 64, 64)


def tokenizer(prompts, **settings):
    """Stand for ``AutoTokenizer.from_pretrained(...)``, which needs a download."""
    return {
        "input_ids": torch.tensor([[len(word) for word in f"{one} . . . . . . . .".split()[:8]] for one in prompts])
    }


# explain it
model = fc.ExplainedModel(fc.tasks.TextPrompts(network, ["a cat", "a red bicycle"], tokenizer))
heatmaps = fc.METHODS["grad-cam"](model, x, target=1)
