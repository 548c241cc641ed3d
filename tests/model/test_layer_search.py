"""Test the search for the target layer: the last one with feature maps before pooling."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from fusioncam.errors import LayerError
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.zoo.loading import architecture
from selection import slow_unless

Shape = tuple[int, ...]

# name -> the layer and the shape (K, h, w) of its maps; comments state what is special about a network
SMALL: dict[str, tuple[str, Shape]] = {
    "efficientnet_lite0": ("bn2", (1280, 7, 7)),
    # ends in a max pooling and an adaptive one: the layer is the last ReLU
    "torchvision:alexnet": ("features.11", (256, 13, 13)),
    # ReLU and pooling are functions, not modules
    "torchvision:densenet121": ("features", (1024, 7, 7)),
    "torchvision:mnasnet0_5": ("layers", (1280, 7, 7)),
    "torchvision:mobilenet_v3_small": ("features", (576, 7, 7)),
    "torchvision:regnet_y_400mf": ("trunk_output", (440, 7, 7)),
    "torchvision:resnet18": ("layer4", (512, 7, 7)),
    "torchvision:shufflenet_v2_x0_5": ("conv5", (1024, 7, 7)),
    # each channel is the map of a class
    "torchvision:squeezenet1_1": ("classifier.2", (1000, 13, 13)),
    "timm:convnextv2_atto": ("stages", (320, 7, 7)),
    "timm:cs3darknet_focus_s": ("stages", (512, 8, 8)),
    "timm:dla46_c": ("level5", (256, 7, 7)),
    # the last map is inside the head
    "timm:efficientvit_b0": ("head.in_conv", (1024, 7, 7)),
    # other parts of the scores come from hidden states without feature maps
    "timm:efficientvim_m1": ("norm.3", (320, 4, 4)),
    "timm:levit_conv_128s": ("stages", (384, 4, 4)),
    # has a convolution after the pooling, in the head
    "timm:mobilenetv3_small_050": ("blocks", (288, 7, 7)),
    "timm:mobilevit_xxs": ("final_conv", (320, 8, 8)),
    "timm:pvt_v2_b0": ("stages", (256, 7, 7)),
    "timm:resnetv2_18": ("norm", (512, 7, 7)),
    "timm:test_byobnet": ("stages", (256, 5, 5)),
    "timm:test_efficientnet": ("bn2", (256, 5, 5)),
    "timm:test_maxvit": ("norm", (128, 5, 5)),
    "timm:test_nfnet": ("final_act", (192, 5, 5)),
    "timm:test_resnet": ("layer4", (96, 5, 5)),
}
LARGE: dict[str, tuple[str, Shape]] = {
    # has attention in windows
    "timm:halonet26t": ("stages", (2048, 8, 8)),
    "timm:selecsls42b": ("head", (1024, 4, 4)),
    "torchvision:convnext_tiny": ("features", (768, 7, 7)),
    "torchvision:maxvit_t": ("blocks.3", (512, 7, 7)),
    # has channels last, and a module that permutes them
    "torchvision:swin_t": ("permute", (768, 7, 7)),
    "torchvision:vgg11_bn": ("features.27", (512, 14, 14)),
    "timm:densenet121": ("features", (1024, 7, 7)),
    "timm:dpn48b": ("features", (832, 7, 7)),
    "timm:gcvit_xxtiny": ("stages", (512, 7, 7)),
    "timm:hrnet_w18_small": ("final_layer", (2048, 7, 7)),
    "timm:inception_v4": ("features", (1536, 8, 8)),
    # the last activation is a module at the top level
    "timm:nasnetalarge": ("act", (4032, 11, 11)),
    # pools by attention, whose tokens are not feature maps
    "timm:resnet50_clip": ("stages", (2048, 7, 7)),
    # has tokens inside each stage and maps at its end
    "timm:tiny_vit_5m_224": ("stages", (320, 7, 7)),
    "timm:vgg11": ("features.19", (512, 14, 14)),
}
# layouts other than channels first; where only the class token is used at the end, the layer is the norm before the
# last attention
TOKENS: dict[str, tuple[str, Shape]] = {
    "timm:coat_lite_tiny": ("serial_blocks4.1.norm1", (320, 7, 7)),
    "timm:deit_tiny_patch16_224": ("blocks.11.norm1", (192, 14, 14)),
    # has a class and a distillation token
    "timm:deit_tiny_distilled_patch16_224": ("blocks.11.norm1", (192, 14, 14)),
    "timm:efficientformer_l1": ("norm", (448, 7, 7)),
    "timm:levit_128s": ("stages", (384, 4, 4)),
    # has channels last in the whole trunk, but no tokens
    "timm:test_mambaout": ("stages", (64, 5, 5)),
    "timm:test_vit": ("blocks.5.norm1", (64, 10, 10)),
    "timm:pit_ti_224": ("transformers.2.blocks.3.norm1", (256, 7, 7)),
    "timm:vit_tiny_r_s16_p8_224": ("blocks.11.norm1", (192, 7, 7)),
    "timm:xcit_nano_12_p16_224": ("cls_attn_blocks.1.norm1", (128, 14, 14)),
}
LARGE_TOKENS: dict[str, tuple[str, Shape]] = {
    # pools all tokens
    "timm:beit_base_patch16_224": ("blocks.11", (768, 14, 14)),
    "timm:cait_xxs24_224": ("blocks_token_only.1.norm1", (192, 14, 14)),
    "timm:mvitv2_tiny": ("norm", (768, 7, 7)),
    "timm:swin_tiny_patch4_window7_224": ("norm", (768, 7, 7)),
    # has a class token and four registers
    "timm:vit_small_patch14_reg4_dinov2": ("blocks.11.norm1", (384, 37, 37)),
}

# one network for each thing that is special; the others are slow tests
DEFAULT = {
    "efficientnet_lite0",
    "torchvision:alexnet",
    "torchvision:mobilenet_v3_small",
    "torchvision:squeezenet1_1",
    "timm:efficientvit_b0",
    "timm:efficientvim_m1",
    "timm:mobilenetv3_small_050",
    "timm:mobilevit_xxs",
    "timm:test_maxvit",
    "timm:test_resnet",
    "timm:deit_tiny_distilled_patch16_224",
    "timm:efficientformer_l1",
    "timm:test_mambaout",
    "timm:test_vit",
    "timm:pit_ti_224",
}


def parameters(networks: dict[str, tuple[str, Shape]]) -> list:
    """Return the test parameters of networks."""
    return [slow_unless(name in DEFAULT, name, *expected, id=name) for name, expected in networks.items()]


def image(model: ExplainedModel) -> Tensor:
    """Return a random input of small values, of the network's own size."""
    sides = model.preprocessing.size
    return 0.1 * torch.randn(1, 3, *sides, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "layer", "shape"), parameters(SMALL | LARGE))
def test_last_layer_before_pooling_is_found(name: str, layer: str, shape: Shape) -> None:
    """The default is the last layer before pooling, and the last candidate; recording restores the network."""
    source, _, of_timm = name.partition(":")
    if source == "timm" and not timm.is_model(of_timm):
        pytest.skip(f"this version of timm has no {of_timm}")
    model = architecture(name)
    x = image(model)

    last = model.layers.candidates(x)[-1]
    record = model.record(x, 0)

    assert (model.layers.default(x), last.name, record.layer) == (layer, layer, layer)
    assert (last.shape, record.activations.shape[1:], record.gradients.shape[1:]) == (shape, shape, shape)
    assert record.gradients.any()
    assert not any(module._forward_hooks for module in model.network.modules())
    assert all(parameter.grad is None for parameter in model.network.parameters())


@pytest.mark.parametrize(("name", "layer", "shape"), parameters(TOKENS | LARGE_TOKENS))
def test_last_influential_tokens_are_found(name: str, layer: str, shape: Shape) -> None:
    """Of tokens and channels-last maps, it is the last layer that influences the scores, read as (K, h, w)."""
    model = architecture(name)
    x = image(model)

    record = model.record(x, 0)

    assert (model.layers.default(x), record.layer) == (layer, layer)
    assert (record.activations.shape[1:], record.gradients.shape[1:]) == (shape, shape)
    assert record.gradients.any()


def test_tokens_without_a_grid_are_reported() -> None:
    """The error states how to pass the grid of the tokens, and a grid that is passed is used."""

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.norm, self.head = nn.Conv2d(3, 4, 4, 4), nn.LayerNorm(4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.norm(self.stem(x).flatten(2).transpose(1, 2)[:, :12])
            return self.head(tokens.square().mean(1))

    x = torch.rand(1, 3, 20, 20)

    with pytest.raises(LayerError, match=r"'norm' outputs \(2, 12, 4\).*grid=\(rows, columns\)"):
        ExplainedModel(Tokens()).layers.default(x)
    with pytest.raises(LayerError, match=r"tried channels first .* tokens .* grid"):
        ExplainedModel(Tokens(), "norm").record(x, 0)
    model = ExplainedModel(Tokens(), grid=(3, 4))
    assert model.layers.default(x) == "norm"
    assert model.record(x, 0).activations.shape == (1, 4, 3, 4)
