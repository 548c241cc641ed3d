"""The target layer is found without being named: the last spatial map on the way to the scores, before pooling."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fusioncam.errors import LayerError
from fusioncam.methods.gradient import GradCAM
from fusioncam.model import ExplainedModel
from fusioncam.zoo import architecture

Shape = tuple[int, ...]

# name -> the layer and the shape (K, h, w) of its maps; the comments say why a network is here
SMALL: dict[str, tuple[str, Shape]] = {
    "efficientnet_lite0": ("bn2", (1280, 7, 7)),
    # ends in a max pooling, then an adaptive one: the map is what the last ReLU gives
    "torchvision:alexnet": ("features.11", (256, 13, 13)),
    # ReLU and pooling are functions, no modules
    "torchvision:densenet121": ("features", (1024, 7, 7)),
    "torchvision:mnasnet0_5": ("layers", (1280, 7, 7)),
    "torchvision:mobilenet_v3_small": ("features", (576, 7, 7)),
    "torchvision:regnet_y_400mf": ("trunk_output", (440, 7, 7)),
    "torchvision:resnet18": ("layer4", (512, 7, 7)),
    "torchvision:shufflenet_v2_x0_5": ("conv5", (1024, 7, 7)),
    # the maps are those of the classes
    "torchvision:squeezenet1_1": ("classifier.2", (1000, 13, 13)),
    "timm:convnextv2_atto": ("stages", (320, 7, 7)),
    "timm:cs3darknet_focus_s": ("stages", (512, 8, 8)),
    "timm:dla46_c": ("level5", (256, 7, 7)),
    # the last map is inside the head
    "timm:efficientvit_b0": ("head.in_conv", (1024, 7, 7)),
    # other parts of the scores come from hidden states that are no maps
    "timm:efficientvim_m1": ("norm.3", (320, 4, 4)),
    "timm:levit_conv_128s": ("stages", (384, 4, 4)),
    # a convolution behind the pooling, in the head
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
    # attention among windows, inside
    "timm:halonet26t": ("stages", (2048, 8, 8)),
    "timm:selecsls42b": ("head", (1024, 4, 4)),
    "torchvision:convnext_tiny": ("features", (768, 7, 7)),
    "torchvision:maxvit_t": ("blocks.3", (512, 7, 7)),
    # tokens with channels last, and a module that turns them
    "torchvision:swin_t": ("permute", (768, 7, 7)),
    "torchvision:vgg11_bn": ("features.27", (512, 14, 14)),
    "timm:densenet121": ("features", (1024, 7, 7)),
    "timm:dpn48b": ("features", (832, 7, 7)),
    "timm:gcvit_xxtiny": ("stages", (512, 7, 7)),
    "timm:hrnet_w18_small": ("final_layer", (2048, 7, 7)),
    "timm:inception_v4": ("features", (1536, 8, 8)),
    # the last activation is a module of the network itself
    "timm:nasnetalarge": ("act", (4032, 11, 11)),
    # pooled by attention: the tokens are the pooling's own
    "timm:resnet50_clip": ("stages", (2048, 7, 7)),
    # tokens inside, maps at the end of each stage
    "timm:tiny_vit_5m_224": ("stages", (320, 7, 7)),
    "timm:vgg11": ("features.19", (512, 14, 14)),
}
# the scores come from tokens; the last map is only the way into them (patches, stem, values of an attention)
TOKENS = (
    "timm:coat_lite_tiny",
    "timm:crossvit_tiny_240",
    "timm:deit_tiny_patch16_224",
    "timm:efficientformer_l1",
    "timm:levit_128s",
    "timm:test_mambaout",  # no tokens, but channels last in the whole trunk
    pytest.param("timm:mvitv2_tiny", marks=pytest.mark.slow),
    "timm:pit_ti_224",
    "timm:vit_tiny_r_s16_p8_224",
)

NETWORKS = [pytest.param(name, *right, id=name) for name, right in SMALL.items()]
NETWORKS += [pytest.param(name, *right, id=name, marks=pytest.mark.slow) for name, right in LARGE.items()]


def picture(model: ExplainedModel) -> Tensor:
    """Give a faint random input of the network's own size."""
    sides = model.preprocessing.size
    return 0.1 * torch.randn(1, 3, *sides, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "layer", "shape"), NETWORKS)
def test_last_map_before_pooling_is_found(name: str, layer: str, shape: Shape) -> None:
    """The layer is the last map before pooling, the candidates end with it, and it can be recorded tracelessly."""
    model = architecture(name)
    x = picture(model)

    last = model.candidates(x)[-1]
    record = model.record(x, 0)

    assert (model.layer_for(x), last.name, record.layer) == (layer, layer, layer)
    assert (last.shape, record.activations.shape[1:], record.gradients.shape[1:]) == (shape, shape, shape)
    assert record.gradients.any()
    assert not any(module._forward_hooks for module in model.network.modules())
    assert all(parameter.grad is None for parameter in model.network.parameters())


@pytest.mark.parametrize("name", TOKENS)
def test_network_of_tokens_is_refused_rather_than_read_at_its_stem(name: str) -> None:
    """A network whose scores come from tokens has no last map, and says so instead of showing another."""
    model = architecture(name)

    with pytest.raises(LayerError):
        GradCAM()(model, picture(model), 0)
