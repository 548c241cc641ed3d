"""The networks of other libraries that are explained as their users write it: small ones with random weights.

Each client has code that makes ``network`` and ``x``, and the lines that a user adds, which define ``model``. The
heatmap is compared with Grad-CAM by plain autograd: ``scores`` are computed from ``network`` and ``x``, and ``maps``
read the output of ``layer``.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

CHANNELS_FIRST = "out"


@dataclass(frozen=True)
class Client:
    """A network of a library: how it is made, what its users write, and how plain autograd reads it."""

    name: str
    package: str
    make: str
    code: str
    layer: str
    maps: str = CHANNELS_FIRST
    scores: str = "network(x)"
    needs: str = ""
    is_cheap: bool = False

    @property
    def marks(self) -> list[pytest.MarkDecorator]:
        """The marks of tests that are slow for networks that are not cheap."""
        return [] if self.is_cheap else [pytest.mark.slow]

    @property
    def lines(self) -> int:
        """The number of lines of user code."""
        return len(self.code.strip().splitlines())


def tokens(first: int, *sides: int, swapped: bool = False) -> str:
    """Return the code that reads tokens behind ``first`` others as maps of these sides."""
    count = 1
    for side in sides:
        count *= side
    return f"out[:, {first}:{first + count}].mT.unflatten(2, {sides})" + (".mT" if swapped else "")


PLAIN = "model = fc.ExplainedModel(network)"
SMALL = "dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96)"
# networks whose weights a package includes
REAL = {"efficientnet_lite0": "EfficientNet-Lite0", "efficientnet_lite2": "EfficientNet-Lite2"}
CLIENTS = [
    Client(
        "ResNet",
        "torchvision",
        "from torchvision.models import resnet18\nnetwork = resnet18(num_classes=5)",
        PLAIN,
        "layer4",
    ),
    Client(
        "Vision Transformer",
        "torchvision",
        "from torchvision.models import VisionTransformer\n"
        "network = VisionTransformer(64, 16, 2, 3, 48, 96, num_classes=5)\n"
        "torch.nn.init.normal_(network.heads.head.weight)",
        PLAIN,
        "encoder.layers.encoder_layer_0",
        tokens(1, 4, 4),
        is_cheap=True,
    ),
    Client(
        "Swin",
        "torchvision",
        "from torchvision.models import SwinTransformer\n"
        "network = SwinTransformer([4, 4], 16, [1, 1], [2, 4], [4, 4], num_classes=5)",
        PLAIN,
        "features",
        "out.movedim(-1, 1)",
        is_cheap=True,
    ),
    Client(
        "Video ResNet, a volume or a clip",
        "torchvision",
        "from torchvision.models.video import r3d_18\n"
        "network = r3d_18(num_classes=4)\nx = torch.rand(1, 3, 8, 32, 32)",
        PLAIN,
        "layer3",
    ),
    Client(
        "DeepLab, segmentation",
        "torchvision",
        "from torchvision.models.segmentation import deeplabv3_resnet50\n"
        "network = deeplabv3_resnet50(weights_backbone=None, num_classes=3)",
        "model = fc.ExplainedModel(fc.tasks.Segmentation(network))",
        "backbone.layer4",
        scores="mean_of_predicted(network(x)['out'])",
    ),
    Client(
        "ConvNeXt",
        "timm",
        "import timm\nnetwork = timm.create_model('convnext_atto', num_classes=5)",
        PLAIN,
        "stages",
    ),
    Client(
        "Hiera",
        "timm",
        "from timm.models.hiera import Hiera\n"
        "network = Hiera((64, 64), embed_dim=16, num_heads=1, stages=(1, 1, 2), q_pool=2, num_classes=5)\n"
        "torch.nn.init.normal_(network.head.fc.weight)",
        PLAIN,
        "blocks.3",
        tokens(0, 4, 4),
        is_cheap=True,
    ),
    Client(
        "Vision Transformer with registers",
        "timm",
        "import timm\nnetwork = timm.create_model('vit_tiny_patch16_224', img_size=64, num_classes=5, depth=2, "
        "reg_tokens=4)\ntorch.nn.init.normal_(network.head.weight)",
        PLAIN,
        "blocks.0",
        tokens(5, 4, 4),
        is_cheap=True,
    ),
    Client(
        "MLP-Mixer",
        "timm",
        "import timm\nnetwork = timm.create_model('mixer_s16_224', img_size=64, num_classes=5)\n"
        "torch.nn.init.normal_(network.head.weight)",
        PLAIN,
        "blocks",
        tokens(0, 4, 4),
    ),
    Client(
        "ViT",
        "transformers",
        "from transformers import ViTConfig, ViTForImageClassification\n"
        f"network = ViTForImageClassification(ViTConfig(image_size=64, num_labels=4, **{SMALL}))",
        PLAIN,
        "vit.layers.0",
        tokens(1, 4, 4),
        "network(x).logits",
        "transformers",
    ),
    Client(
        "VideoMAE, clips of tubelets",
        "transformers",
        "from transformers import VideoMAEConfig, VideoMAEForVideoClassification\n"
        f"network = VideoMAEForVideoClassification(VideoMAEConfig(image_size=64, num_labels=4, **{SMALL}))\n"
        "x = torch.rand(1, 16, 3, 64, 64)",
        "class Clip(torch.nn.Module):\n"
        "    def __init__(self, network): super().__init__(); self.wrapped = network\n"
        "    def forward(self, x): return self.wrapped(x.transpose(1, 2)).logits\n"
        "model, x = fc.ExplainedModel(Clip(network)), x.transpose(1, 2)",
        "videomae.encoder.layer.0",
        tokens(0, 8, 4, 4),
        "network(x).logits",
        "transformers",
    ),
    Client(
        "AST, spectrograms",
        "transformers",
        "from transformers import ASTConfig, ASTForAudioClassification\n"
        f"network = ASTForAudioClassification(ASTConfig(num_mel_bins=64, max_length=128, frequency_stride=16, "
        f"time_stride=16, num_labels=4, **{SMALL}))\nx = torch.rand(1, 128, 64)",
        "class Sound(torch.nn.Module):\n"
        "    def __init__(self, network): super().__init__(); self.wrapped = network\n"
        "    def forward(self, x): return self.wrapped(x[:, 0]).logits\n"
        "model, x = fc.ExplainedModel(Sound(network)), x[:, None]",
        "audio_spectrogram_transformer.layers.0",
        tokens(2, 4, 8, swapped=True),
        "network(x).logits",
        "transformers",
    ),
    Client(
        "SegFormer, segmentation",
        "transformers",
        "from transformers import SegformerConfig, SegformerForSemanticSegmentation\n"
        "network = SegformerForSemanticSegmentation(SegformerConfig(num_labels=4, hidden_sizes=[8, 16, 24, 32], "
        "depths=[1, 1, 1, 1], decoder_hidden_size=32))",
        "model = fc.ExplainedModel(fc.tasks.Segmentation(network))",
        "segformer.stages.3",
        scores="mean_of_predicted(network(x).logits)",
        needs="transformers",
    ),
    Client(
        "DenseNet, volumes",
        "monai",
        "from monai.networks.nets import DenseNet121\n"
        "network = DenseNet121(3, 1, 4)\nx = torch.rand(1, 1, 32, 32, 32)",
        PLAIN,
        "features.denseblock3",
        needs="monai",
    ),
    Client(
        "U-Net, segmentation of volumes",
        "monai",
        "from monai.networks.nets import UNet\n"
        "network = UNet(3, 1, 3, (4, 8, 16), (2, 2), norm='batch')\nx = torch.rand(1, 1, 16, 16, 16)",
        "model = fc.ExplainedModel(fc.tasks.Segmentation(network))",
        "model.1.submodule.1.submodule",
        scores="mean_of_predicted(network(x))",
        needs="monai",
    ),
    Client(
        "U-Net with a second head, segmentation",
        "segmentation_models_pytorch",
        "import segmentation_models_pytorch as smp\n"
        "network = smp.Unet('resnet18', encoder_weights=None, classes=3, aux_params=dict(classes=5))",
        "model = fc.ExplainedModel(fc.tasks.Segmentation(network))",
        "encoder.layer4",
        scores="mean_of_predicted(network(x)[0])",
        needs="segmentation_models_pytorch",
    ),
    Client(
        "CLIP with text prompts",
        "open_clip",
        "import open_clip\n"
        "network = open_clip.CLIP(32, dict(image_size=64, patch_size=16, width=64, layers=2, head_width=32), "
        "dict(context_length=8, vocab_size=100, width=32, heads=2, layers=1))\n"
        "words = lambda texts: torch.arange(8 * len(texts)).reshape(-1, 8) % 100",
        "model = fc.ExplainedModel(fc.tasks.TextPrompts(network, ['a cat', 'a dog'], words))",
        "visual.transformer.resblocks.0",
        tokens(1, 4, 4),
        "network(x, words(['a cat', 'a dog']))[0] @ network(x, words(['a cat', 'a dog']))[1].T * "
        "network.logit_scale.exp()",
        "open_clip",
    ),
    Client(
        "YOLO classifier",
        "ultralytics",
        "from ultralytics import YOLO\nnetwork = YOLO('yolov8n-cls.yaml').model",
        PLAIN,
        "model.8",
        scores="network(x)[1]",
        needs="ultralytics",
    ),
]
