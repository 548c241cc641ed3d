"""Scores of masked images: what shows where a mask is 0, and the passes of many masks in batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import ShapeError, require_known
from fusioncam.functional.heatmaps import precise
from fusioncam.functional.masks import FILLS, Fill, MaskSource, active_pairs, aligned_pairs, blend, select_images
from fusioncam.inference.batching import score_in_batches
from fusioncam.inference.forward import NetworkRunner
from fusioncam.model.scores import Target, as_targets, read_scores

# from the indices of images (B,) and their masks (B, *s) to the pixels (B, C, *s) that show where the masks are 0
Background = Callable[[Tensor, Tensor], Tensor]


def fill_pixels(x: Tensor, fill: str | Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return the pixels ``(N, C, *s)`` of a fill: a name of ``FILLS``, or pixels.

    Raises :class:`UnknownNameError` for a name that is not in ``FILLS``, and :class:`ShapeError` if the preprocessing
    has another number of channels than ``x``.
    """
    if isinstance(fill, Tensor):
        return fill.to(x).expand_as(x)
    require_known("fill", fill, FILLS)
    if fill == "black" and preprocessing.channels != x.shape[1]:
        raise ShapeError(
            f"fill='black' needs mean and std for each of the {x.shape[1]} channels of x {tuple(x.shape)}, and the "
            f"preprocessing has {preprocessing.channels}: pass Preprocessing(mean=(...), std=(...)) to ExplainedModel"
        )
    shape = (1, -1) + (1,) * (x.dim() - 2)
    mean, std = (x.new_tensor(values).reshape(shape) for values in (preprocessing.mean, preprocessing.std))
    return FILLS[fill](x, mean, std)


def background_of(x: Tensor, fill: Fill, preprocessing: Preprocessing) -> Background:
    """Return the function that computes what is shown where the masks of the images ``x`` are 0."""
    if callable(fill):
        return lambda image, masks: fill(select_images(x, image), masks)
    pixels = fill_pixels(x, fill, preprocessing)
    return lambda image, masks: select_images(pixels, image)


def masked_scores(
    runner: NetworkRunner,
    x: Tensor,
    masks: MaskSource,
    target: Target,
    readout: str,
    fill: Fill,
    preprocessing: Preprocessing,
) -> Tensor:
    """Return the scores ``(M, N)`` of :meth:`fusioncam.model.explained_model.ExplainedModel.masked_scores`."""
    with runner.exclusive_eval(grad=False):
        x = runner.validate_input(x)
        masks = _validate_masks(masks, x)
        targets = as_targets(target, x)
        background = background_of(x, fill, preprocessing)

        def score(replica: Callable[[Tensor], Tensor], pairs: Tensor) -> Tensor:
            index, image = pairs.unbind(1)
            mask = masks[index, image].to(x.device)
            blended = blend(select_images(x, image), mask, background(image, mask))
            return read_scores(replica(blended), targets[image], readout)

        pairs = (active_pairs(masks) if runner.fixed_rows is None else aligned_pairs(masks)).to(x.device)
        replicas, tuner = runner.replica_calls(x, len(pairs))
        values = score_in_batches([partial(score, replica) for replica in replicas], pairs, tuner)
    scores = torch.full(tuple(masks.shape[:2]), torch.nan, dtype=precise(x).dtype, device=x.device)
    scores[pairs[:, 0], pairs[:, 1]] = values.to(scores)
    return scores


def _validate_masks(masks: MaskSource, x: Tensor) -> MaskSource:
    """Return the masks, a tensor on the device of ``x``; raise :class:`ShapeError` if they do not fit ``x``."""
    if tuple(masks.shape[1:]) != (len(x), *x.shape[2:]):
        expected = f"(M, {len(x)}, {', '.join(map(str, x.shape[2:]))})"
        raise ShapeError(f"masks for x {tuple(x.shape)} must have the shape {expected}, got {tuple(masks.shape)}")
    return masks.to(x.device) if isinstance(masks, Tensor) else masks
