"""Scores of text prompts for an image, of networks that embed images and texts in one space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusioncam.errors import InputTypeError, SettingError, ShapeError
from fusioncam.inference.eval_mode import exclusive_eval
from fusioncam.tasks.prompt_tokens import tokenise
from fusioncam.tasks.wrapper import Wrapper, describe_output

# methods of the models: of images and of texts, in transformers and in open_clip
_HUGGING_FACE = ("get_image_features", "get_text_features")
_OPEN_CLIP = ("encode_image", "encode_text")
NONE = "none of them"


class TextPrompts(Wrapper):
    """Scores of prompts for an image: column i for prompt i, by the network's own scale.

    The prompts are embedded once, so a pass, also of a masked image, runs the image tower only. They become the class
    names of the model.

    The score is the cosine similarity of image and prompt times the scale. In CLIP the prompts compete: the
    probability is the softmax over them, so at least two are needed. In SigLIP, a model with a ``logit_bias``, the
    bias is added and a last column "none of them" of 0 follows: the probability of a single prompt is exactly the
    model's sigmoid; several prompts share it.

    Args:
        model: embeds images and texts: CLIP and SigLIP of transformers or open_clip, or any module with the methods
            ``get_image_features`` and ``get_text_features``, or ``encode_image`` and ``encode_text``, and a
            ``logit_scale``.
        prompts: the texts that are compared.
        tokenizer: of the model, or a callable from a list of texts to what the model takes; by default that of the
            model's name (transformers) or of the original CLIP (open_clip).

    Raises:
        InputTypeError: for a model without these methods.
        SettingError: for prompts that cannot be used.

    Examples:
        ```python
        prompts = fc.tasks.TextPrompts(clip, ["a photo of a cat", "a photo of a dog"], tokenizer)
        explanation = fc.explain(
            "cat.jpg", model=fc.ExplainedModel(prompts), method="grad-cam", target="a photo of a cat"
        )
        ```
    """

    texts: Tensor

    def __init__(self, model: nn.Module, prompts: Sequence[str], tokenizer: Callable[..., Any] | None = None) -> None:
        super().__init__(model)
        self._encoders = _encoders(model)
        self.prompts = _validated(prompts)
        self.is_sigmoid = isinstance(getattr(model, "logit_bias", None), Tensor)
        if len(self.prompts) == 1 and not self.is_sigmoid:
            raise SettingError(
                f"the probability of a prompt is relative to the others: add one to {prompts!r}, such as 'a photo'"
            )
        self._register("texts", self._embedded_texts(tokenizer))

    @property
    def row_labels(self) -> tuple[str, ...]:
        """The prompts, which are the class names."""
        return (*self.prompts, NONE) if self.is_sigmoid else self.prompts

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, prompts)``, with one column more for SigLIP, for ``x`` ``(N, 3, H, W)``."""
        images = F.normalize(self._embed(self._encoders[0], x), dim=1)
        cosines = images @ self.texts.to(images).T
        scale, bias = getattr(self.wrapped, "logit_scale", None), getattr(self.wrapped, "logit_bias", None)
        logits = cosines if scale is None else cosines * torch.as_tensor(scale).exp().to(cosines)
        return F.pad(logits + bias.to(logits), (0, 1)) if isinstance(bias, Tensor) else logits

    def _embedded_texts(self, tokenizer: Callable[..., Any] | None) -> Tensor:
        tokens = tokenise(self.wrapped, self.prompts, tokenizer, to_longest=not self.is_sigmoid)
        with exclusive_eval(self.wrapped, grad=False):
            return F.normalize(self._embed(self._encoders[1], tokens), dim=1)

    def _embed(self, encoder: str, inputs: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Return the embeddings ``(N, D)`` of images or tokenised texts."""
        encode = getattr(self.wrapped, encoder)
        output = encode(**inputs) if isinstance(inputs, Mapping) else encode(inputs)
        embeddings = getattr(output, "pooler_output", output)
        if not isinstance(embeddings, Tensor) or embeddings.dim() != 2:
            raise ShapeError(f"expected embeddings (N, D) from {encoder}, got {describe_output(embeddings)}")
        return embeddings


def _encoders(model: nn.Module) -> tuple[str, str]:
    """Return the names of the methods that embed images and texts."""
    for names in (_HUGGING_FACE, _OPEN_CLIP):
        if all(callable(getattr(model, name, None)) for name in names):
            return names
    raise InputTypeError(
        f"expected a model with {' and '.join(_HUGGING_FACE)}, or {' and '.join(_OPEN_CLIP)}, such as CLIP or "
        f"SigLIP, got {type(model).__name__}"
    )


def _validated(prompts: Sequence[str]) -> tuple[str, ...]:
    if isinstance(prompts, str) or not all(isinstance(prompt, str) and prompt.strip() for prompt in prompts):
        raise SettingError(f"prompts must be a list of texts, got {prompts!r}")
    if not prompts or len(set(prompts)) < len(prompts):
        raise SettingError(f"prompts must be at least one text, each once, got {list(prompts)}")
    return tuple(prompts)
