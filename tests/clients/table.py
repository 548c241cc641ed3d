"""How plain autograd reads the networks of the examples in docs/clients."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.ops import box_convert, box_iou

EXAMPLES = Path(__file__).parents[2] / "docs" / "clients"
Names = dict[str, Any]
FLOOR = 1e-6  # of the probability of a box, whose log-odds are finite


def of_output(names: Names) -> Tensor:
    """Return the output of the network itself."""
    return names["network"](names["x"])


def of_logits(names: Names) -> Tensor:
    """Return the logits of a network of transformers."""
    return names["network"](names["x"]).logits


def as_maps(out: Tensor) -> Tensor:
    """Return outputs ``(N, K, *s)``."""
    return out


@dataclass(frozen=True)
class Client:
    """An example: the layer that is chosen for it, and its scores ``(N, classes)`` and maps ``(N, K, *s)`` by hand.

    ``earlier`` is a layer whose maps show where the image changed, if those of ``layer`` have too few locations.
    ``side`` is that of images whose mirror images have mirrored maps, if all weights are symmetric. ``eager`` makes
    the same network, if the example's own takes no hooks.
    """

    stem: str
    layer: str
    scores: Callable[[Names], Tensor] = of_output
    maps: Callable[[Tensor], Tensor] = as_maps
    earlier: str | None = None
    side: int | None = None
    is_cheap: bool = False
    eager: Callable[[], nn.Module] | None = None
    ignored: str | None = None

    @property
    def path(self) -> Path:
        """The file of the example."""
        return EXAMPLES / f"{self.stem}.py"

    @property
    def needs(self) -> str:
        """The library of the network."""
        library = self.stem.partition("_")[0]
        return {"open": "open_clip", "smp": "segmentation_models_pytorch"}.get(library, library)

    @property
    def target(self) -> int | None:
        """The class that the example explains."""
        (target,) = re.findall(r"target=(\w+)\)", self.path.read_text())
        return None if target == "None" else int(target)

    @property
    def method(self) -> str:
        """The method of the example."""
        (method,) = re.findall(r'METHODS\["(.*?)"\]', self.path.read_text())
        return method

    @property
    def lines(self) -> int:
        """The number of lines of code between the network and the heatmaps."""
        code = self.path.read_text().partition("# explain")[2].splitlines()[1:]
        return len([line for line in code if line.strip() and not line.startswith("heatmaps = ")])

    @property
    def parameter(self):
        """The parameter of tests; those of networks that take longer are slow."""
        marks = [] if self.is_cheap else [pytest.mark.slow]
        if self.ignored:
            marks.append(pytest.mark.filterwarnings(self.ignored))
        return pytest.param(self, marks=marks, id=self.stem)


def is_installed(module: str) -> bool:
    """Return whether a library is installed."""
    return find_spec(module) is not None


# -- maps ------------------------------------------------------------------------------------------------------------


def tokens(first: int, *sides: int) -> Callable[[Tensor], Tensor]:
    """Return the function that reads tokens behind ``first`` others as maps of these sides."""
    count = torch.Size(sides).numel()
    return lambda out: out[:, first : first + count].mT.unflatten(2, sides)


def exchanged(read: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the function that exchanges the sides of the maps."""
    return lambda out: read(out).mT


# -- scores ----------------------------------------------------------------------------------------------------------


def of_pixels(read: Callable[[Any], Tensor]) -> Callable[[Names], Tensor]:
    """Return the function to each class's logits where it is predicted, summed and divided by all pixels."""

    def scores(names: Names) -> Tensor:
        logits = read(of_output(names))
        masks = torch.stack([logits.argmax(1) == c for c in range(logits.shape[1])], 1).to(logits)
        return (logits * masks).flatten(2).mean(2)

    return scores


def of_texts(names: Names) -> Tensor:
    """Return the similarities of an image and the prompts, from a model of transformers or open_clip."""
    prompts = names["tokenizer"](["a cat", "a red bicycle"])
    if isinstance(prompts, dict):
        return names["network"](**prompts, pixel_values=names["x"]).logits_per_image
    image, text, scale = names["network"](names["x"], prompts)[:3]
    return scale * image @ text.T


def of_box(read: Callable[[Names, int], tuple[Tensor, Tensor]]) -> Callable[[Names], Tensor]:
    """Return the function to the log-odds of the box that the example explains, behind a column of zeros."""

    def scores(names: Names) -> Tensor:
        found = names["found"]
        boxes, of_class = read(names, found.label)
        best = (box_iou(torch.tensor([found.box]), boxes.detach())[0] * of_class).amax()
        return torch.stack([torch.zeros(()), torch.logit(FLOOR + (1 - 2 * FLOOR) * best)])[None]

    return scores


def in_torchvision(names: Names, label: int) -> tuple[Tensor, Tensor]:
    """Return the boxes ``(P, 4)`` and the scores of those with this label, otherwise 0."""
    (found,) = names["network"](list(names["x"]))
    return found["boxes"], found["scores"] * (found["labels"] == label)


def in_transformers(activation: Callable[[Tensor], Tensor]) -> Callable[[Names, int], tuple[Tensor, Tensor]]:
    """Return the function to boxes ``(P, 4)`` and scores, the ``activation`` of the logits."""

    def read(names: Names, label: int) -> tuple[Tensor, Tensor]:
        output, (height, width) = of_output(names), names["x"].shape[2:]
        boxes = box_convert(output.pred_boxes[0], "cxcywh", "xyxy") * torch.tensor([width, height] * 2)
        return boxes, activation(output.logits[0])[:, label]

    return read


def in_ultralytics(names: Names, label: int) -> tuple[Tensor, Tensor]:
    """Return boxes ``(P, 4)`` and scores."""
    output = of_output(names)
    while not isinstance(output, Tensor):
        output = output[0]
    return box_convert(output[0, :4].T, "cxcywh", "xyxy"), output[0, 4 + label]


softmax = in_transformers(lambda logits: logits.softmax(1))
sigmoid = in_transformers(torch.sigmoid)


def small_resnet() -> nn.Module:
    """Return the network that some examples convert."""
    torch.manual_seed(0)
    return resnet18(num_classes=5).eval()


OUTDATED = "ignore:`torch.jit.* is deprecated:FutureWarning"  # networks of TorchScript exist all the same
CLIENTS = [
    Client("torch_table", "backbone.layer4", lambda names: names["network"](names["x"], names["patient"])),
    Client("torch_script", "layer4", eager=small_resnet, ignored=OUTDATED),
    Client("torch_export", "layer4", eager=small_resnet),
    Client("torchvision_resnet", "layer4", side=65),
    Client("torchvision_vit", "encoder.layers.encoder_layer_1.ln_1", maps=tokens(1, 4, 4), side=64, is_cheap=True),
    Client("torchvision_swin", "permute", is_cheap=True),
    Client("torchvision_video", "layer4", earlier="layer3"),
    Client(
        "torchvision_deeplab",
        "wrapped.classifier.3",
        of_pixels(lambda output: output["out"]),
        earlier="wrapped.backbone.6",
    ),
    Client("torchvision_faster_rcnn", "wrapped.backbone.fpn.layer_blocks.0", of_box(in_torchvision)),
    Client("torchvision_fcos", "wrapped.backbone.fpn.layer_blocks.0", of_box(in_torchvision)),
    Client("torchvision_keypoint_rcnn", "wrapped.backbone.fpn.layer_blocks.0", of_box(in_torchvision)),
    Client("torchvision_retinanet", "wrapped.backbone.fpn.layer_blocks.1", of_box(in_torchvision)),
    Client("torchvision_ssdlite", "wrapped.backbone.features.0", of_box(in_torchvision)),
    Client("timm_convnext", "stages", side=64),
    Client("timm_efficientnet_lite0", "bn2"),
    Client("timm_efficientnet_lite2", "bn2"),
    Client("timm_hiera", "blocks.3", maps=tokens(0, 4, 4), is_cheap=True),
    Client("timm_vit_registers", "blocks.1.norm1", maps=tokens(5, 4, 4), side=64, is_cheap=True),
    Client("timm_mixer", "norm", maps=tokens(0, 4, 4)),
    Client("transformers_vit", "vit.layers.1.layernorm_before", of_logits, tokens(1, 4, 4), side=64),
    Client(
        "transformers_videomae",
        "1.videomae.encoder.layer.1",
        lambda names: names["network"](names["x"].transpose(1, 2)).logits,
        tokens(0, 8, 4, 4),
    ),
    Client(
        "transformers_ast",
        "1.audio_spectrogram_transformer.layers.1.layernorm_before",
        lambda names: names["network"](names["x"][:, 0]).logits,
        exchanged(tokens(2, 4, 8)),
    ),
    Client(
        "transformers_segformer",
        "wrapped.decode_head.linear_projections.3",
        of_pixels(lambda output: output.logits),
        tokens(0, 2, 2),
    ),
    Client("transformers_detr", "wrapped.model.encoder.layers.1", of_box(softmax), tokens(0, 4, 4)),
    Client("transformers_rt_detr", "wrapped.model.decoder_input_proj.2", of_box(sigmoid)),
    Client("transformers_yolos", "wrapped.vit.encoder.layer.1.layernorm_before", of_box(softmax), tokens(1, 4, 4)),
    Client("transformers_clip", "wrapped.vision_model.encoder.layers.1.layer_norm1", of_texts, tokens(1, 4, 4)),
    Client("transformers_siglip", "wrapped.vision_model.post_layernorm", of_texts, tokens(0, 4, 4)),
    Client("monai_densenet", "features.transition3.conv"),
    Client("monai_unet", "wrapped.model.1.submodule.1", of_pixels(lambda output: output)),
    Client("smp_unet", "wrapped.decoder.blocks.1", of_pixels(lambda output: output[0])),
    Client("open_clip_vit", "wrapped.visual.transformer.resblocks.1.ln_1", of_texts, tokens(1, 4, 4)),
    Client("ultralytics_classify", "model.9.conv", lambda names: names["network"].model.eval()(names["x"])[1]),
    Client("ultralytics_yolo11", "wrapped.model.22", of_box(in_ultralytics)),
    Client("ultralytics_segment", "wrapped.model.22", of_box(in_ultralytics)),
    Client("ultralytics_pose", "wrapped.model.21", of_box(in_ultralytics)),
]
