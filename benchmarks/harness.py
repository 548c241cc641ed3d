"""What every subject needs: images, a clock, and contestants that take turns."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from skimage import data

from fusioncam import ExplainedModel, load_model
from fusioncam.data.images import find_images, open_image
from fusioncam.errors import FlatHeatmapWarning
from fusioncam.zoo.loading import architecture
from meta import say


class Subject:
    """What can be measured. Its fields are its settings; ``rows`` measures image by image, ``figures`` sums up.

    The path of a folder of images is not stored, its name is.
    """

    name: ClassVar[str]
    what: ClassVar[str]

    def settings(self) -> dict[str, Any]:
        """Give the settings, ready for JSON."""
        told = asdict(self)  # type: ignore[call-overload]
        if "images" in told:
            told["images"] = told["images"].name if told["images"] else "scikit-image's"
        return told


def chosen(folder, count):
    """Choose so many images of a folder, by default scikit-image's, evenly spaced in the order of their names."""
    found = [one for one in find_images([folder or Path(data.__file__).parent]) if isinstance(one, Path)]
    return evenly([one for one in found if folder or one.suffix in (".png", ".jpg")], count)


def evenly(items, count):
    """Pick so many items at even distances, the first among them; all where there are no more.

    >>> evenly("abcdefghij", 3)
    ['a', 'd', 'g']
    """
    return [items[number * len(items) // count] for number in range(count)] if count < len(items) else list(items)


def samples(model, folder, count):
    """Give name, input ``(1, C, H, W)`` and predicted class ``(1,)`` of each image."""
    for path in chosen(folder, count):
        x = model.preprocessing(open_image(path))[None].to(model.device)
        yield path.name, x, model.logits(x).argmax(1)


def timed(do):
    """Give the seconds that it took, and what it gave. A GPU is waited for."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlatHeatmapWarning)
        given = do()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began, given


@dataclass(frozen=True)
class Elsewhere:
    """What another process took, and what it made."""

    seconds: float
    given: Any


def in_turn(contestants, first=0):
    """Let each do its work once; ``first`` says who begins, so that nobody always follows the same neighbour.

    Gives the seconds and what was given, by name.
    """
    names = list(contestants)
    start = first % len(names) if names else 0
    seconds, given = {}, {}
    for name in names[start:] + names[:start]:
        seconds[name], given[name] = timed(contestants[name])
        if isinstance(given[name], Elsewhere):
            seconds[name], given[name] = given[name].seconds, given[name].given
        say(f"    {name}: {seconds[name]:.3f} s")
    return {name: seconds[name] for name in names}, {name: given[name] for name in names}


# -- models, here and in the peers' process -------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """Which network: by fusioncam's name with its weights, or one of timm's with random ones by a seed."""

    name: str
    layer: str | None = None
    device: str = "cpu"
    seed: int | None = None

    def load(self) -> ExplainedModel:
        """Make it."""
        if self.seed is None:
            return load_model(self.name, self.layer, device=self.device)
        torch.manual_seed(self.seed)
        model = architecture(f"timm:{self.name}")
        model.network.to(self.device).eval()
        return model


@contextmanager
def visiting(source, model, one_process):
    """Give what makes a contestant of one of ``peers``: ``ask(peer, *arguments)``, which may be called.

    A peer runs in a process of its own, with the same network, as its users have it: ours tells the C library of its
    own process to keep freed memory, and whoever runs beside it would profit. In ``one_process`` it runs here.
    """
    if one_process:
        yield lambda peer, *arguments: partial(peer, model, *arguments)
        return
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:

        def ask(peer, *arguments):
            sent = [one.cpu().numpy() if isinstance(one, torch.Tensor) else one for one in arguments]
            return lambda: pool.submit(hosted, source, peer, sent).result()

        yield ask


def hosted(source: Source, peer: Callable[..., torch.Tensor], sent: list[Any]) -> Elsewhere:
    """Let a peer do its work in this process, after one pass to warm up."""
    model = loaded(source)
    arguments = [torch.from_numpy(one).to(model.device) if isinstance(one, np.ndarray) else one for one in sent]
    model.logits(arguments[0])
    seconds, given = timed(partial(peer, model, *arguments))
    return Elsewhere(seconds, given.cpu().numpy())


@cache
def loaded(source: Source) -> ExplainedModel:
    """Keep one network of each source."""
    return source.load()
