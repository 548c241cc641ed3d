"""Tokenise prompts as a model of images and texts takes them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from fusioncam.errors import SettingError, cut

_ORIGINAL_CLIP = (77, 49408)  # the length of a text and the number of tokens


def tokenise(
    model: nn.Module, prompts: Sequence[str], tokenizer: Callable[..., Any] | None, *, to_longest: bool
) -> Tensor | Mapping[str, Tensor]:
    """Return the tokens of the prompts on the model's device.

    ``to_longest`` pads them to the longest prompt, otherwise to the model's length, as SigLIP was trained. Raises
    :class:`SettingError` if there is no tokenizer.
    """
    tokenizer = _default_tokenizer(model) if tokenizer is None else getattr(tokenizer, "tokenizer", tokenizer)
    texts = list(prompts)
    tokens: Any
    if hasattr(tokenizer, "padding_side"):  # of transformers
        padding = {"padding": True} if to_longest else {"padding": "max_length", "max_length": _text_length(model)}
        tokens = dict(tokenizer(texts, truncation=True, return_tensors="pt", **padding))
    else:
        tokens = tokenizer(texts)
    device = next(model.parameters()).device
    if isinstance(tokens, Mapping):
        return {name: values.to(device) for name, values in tokens.items()}
    if not isinstance(tokens, Tensor):
        raise SettingError(f"the tokenizer must return a tensor or a mapping of tensors, got {type(tokens).__name__}")
    return tokens.to(device)


def _text_length(model: nn.Module) -> int | None:
    text = getattr(getattr(model, "config", None), "text_config", None)
    length: int | None = getattr(text, "max_position_embeddings", None)
    return length


def _default_tokenizer(model: nn.Module) -> Callable[..., Any]:
    """Return the tokenizer of the model's name, or of the original CLIP if the model has its sizes."""
    name = getattr(model, "name_or_path", None)
    if name:
        try:
            tokenizer: Callable[..., Any] = sys.modules["transformers"].AutoTokenizer.from_pretrained(name)
        except (OSError, ValueError, KeyError, ImportError) as error:
            reason = cut(str(error).splitlines()[0])
            raise SettingError(f"no tokenizer for '{name}' ({reason}): pass tokenizer=...") from None
        return tokenizer
    sizes = getattr(model, "context_length", None), getattr(model, "vocab_size", None)
    if sizes == _ORIGINAL_CLIP and "open_clip" in sys.modules:
        original: Callable[..., Any] = sys.modules["open_clip"].tokenize
        return original
    raise SettingError(
        f"no tokenizer is known for {type(model).__name__}: pass tokenizer=..., such as open_clip.get_tokenizer(NAME)"
    )
