"""Explain how well a text prompt fits an image, by CLIP.

python examples/text_prompts.py [FOLDER]
"""

from __future__ import annotations

import sys

import torch
from skimage import data
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

import fusioncam as fc
from fusioncam.tasks import TextPrompts

PROMPTS = ["a photo of a cat", "a red bicycle", "an empty street"]


def clip():
    """Return an untrained CLIP and its tokenizer; ``from_pretrained`` of both classes loads trained ones."""
    torch.manual_seed(0)
    small = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4}
    words = {word: index for index, word in enumerate(["-", *sorted({*" ".join(PROMPTS).split()})])}
    text = small | {"vocab_size": len(words), "max_position_embeddings": 12, "eos_token_id": 0}
    config = CLIPConfig(text_config=text, vision_config=small | {"image_size": 96, "patch_size": 16})
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="-"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return CLIPModel(config).eval(), PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="-")


def main(folder: str | None = None) -> None:
    """Explain the prompt "a red bicycle" for a cat."""
    network, tokenizer = clip()
    preprocessing = fc.Preprocessing(
        (96, 96), 96, mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)
    )

    prompts = TextPrompts(network, PROMPTS, tokenizer)
    model = fc.ExplainedModel(prompts, preprocessing=preprocessing)
    explanation = fc.explain(data.chelsea(), model=model, target="a red bicycle", method="grad-eclip")
    print(explanation)
    if folder:
        explanation.save(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
