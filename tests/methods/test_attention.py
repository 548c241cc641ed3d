"""Attention rollout and relevance: what they read, and on which transformers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from families import problem
from fusioncam import METHODS, ExplainedModel
from fusioncam.inference.attention import attentions
from selection import slow_unless
from twins import attention

FAMILIES = ("timm ViT", "Hugging Face ViT", "torchvision ViT", "timm DeiT")


@pytest.mark.parametrize("settings", [{}, {"scale": 0.3}, {"is_causal": True}, {"attn_mask": torch.eye(5).bool()}])
def test_attention_weights_multiply_the_values(settings):
    """With masks and scales, by name or by position, and with values of another size."""
    queries, keys, values = torch.rand(2, 3, 5, 4), torch.rand(2, 3, 5, 4), torch.rand(2, 3, 5, 6)

    with attentions() as found:
        output = F.scaled_dot_product_attention(queries, keys, values, settings.pop("attn_mask", None), **settings)

    torch.testing.assert_close(found[0].weights() @ values, output)
    torch.testing.assert_close(found[0].weights().sum(-1), torch.ones(2, 3, 5))


@pytest.mark.parametrize("family", [slow_unless(family in FAMILIES[:2], family) for family in FAMILIES])
def test_relevance_is_that_of_the_class_and_rollout_is_not(family):
    """On transformers of all libraries."""
    network, x, _ = problem(family)
    model = ExplainedModel(network)

    maps = {
        name: torch.stack([METHODS[name](model, x, c) for c in (0, 1)])
        for name in ("attention-rollout", "attention-relevance")
    }

    assert all(found.amax((2, 3)).equal(torch.ones(2, 2).to(found)) for found in maps.values())
    assert maps["attention-rollout"][0].equal(maps["attention-rollout"][1])
    assert (maps["attention-relevance"][0] - maps["attention-relevance"][1]).abs().max() > 0.1


class Pooling(attention.TinyViT):
    """The toy without a class token: its score is read from the mean of the patches."""

    def __init__(self):
        super().__init__()
        self.num_prefix_tokens = 0
        self.pos_embed = nn.Parameter(torch.randn(1, 24, 8))

    def tokens(self, x):
        """Return the patches alone."""
        return self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed

    def forward(self, x):
        """Return logits ``(N, classes)``."""
        return self.head(self.norm(self.blocks(self.tokens(x)).mean(1)))


def test_without_a_class_token_the_mean_over_patches_is_shown():
    """Of uniform attention, every patch is read as much as any other."""
    torch.manual_seed(0)
    toy, x = Pooling().double().eval(), torch.rand(1, 3, 8, 12, dtype=torch.float64)
    weights = attention.forward_with_attention(toy, x[0])[1]
    rows = torch.eye(24).double()
    for block in weights:
        rows = (block.mean(0) + torch.eye(24)) / 2 @ rows

    found = METHODS["attention-rollout"](ExplainedModel(toy), x, 0)

    expected = attention.s(attention.up(rows.mean(0).reshape(4, 6), (8, 12))).detach()
    torch.testing.assert_close(found[0], expected)
