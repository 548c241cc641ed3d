"""Helpers of all subjects: images, a clock, and contestants that run in rotation."""

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

from fusioncam import ExplainedModel, Speed, load_model
from fusioncam.data.image_files import find_images
from fusioncam.data.images import open_image
from fusioncam.errors import FlatHeatmapWarning
from fusioncam.zoo.loading import architecture
from meta import say

# before each contestant: threads of another process wait for work for some time before they leave their cores
PAUSE = 0.3


class Subject:
    """Base class of subjects. The fields are settings; ``rows`` measures image by image, ``figures`` summarises.

    Of a folder of images, only the name is stored, not the path.
    """

    name: ClassVar[str]
    what: ClassVar[str]

    def settings(self) -> dict[str, Any]:
        """Return the settings as data for JSON."""
        settings = asdict(self)  # type: ignore[call-overload]
        if "images" in settings:
            settings["images"] = settings["images"].name if settings["images"] else "scikit-image's"
        return settings


def chosen(folder, count):
    """Return ``count`` images of a folder, by default scikit-image's, evenly spaced in the order of their names."""
    found = [one for one in find_images([folder or Path(data.__file__).parent]) if isinstance(one, Path)]
    return evenly([one for one in found if folder or one.suffix in (".png", ".jpg")], count)


def evenly(items, count):
    """Return ``count`` evenly spaced items, beginning with the first; all if there are no more.

    >>> evenly("abcdefghij", 3)
    ['a', 'd', 'g']
    """
    return [items[number * len(items) // count] for number in range(count)] if count < len(items) else list(items)


def samples(model, folder, count):
    """Yield name, input ``(1, C, H, W)`` and predicted class ``(1,)`` of each image."""
    for path in chosen(folder, count):
        x = model.preprocessing(open_image(path))[None].to(model.device)
        yield path.name, x, model.logits(x).argmax(1)


def timed(do):
    """Return the seconds of a call and its result; a GPU is synchronised before and after."""
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
    """Seconds and result of a call that was timed where it ran, such as in another process."""

    seconds: float
    given: Any


def in_turn(contestants, first=0):
    """Run each contestant once and return seconds and results by name.

    ``first`` is the index of the one that starts, so that the order can rotate from image to image.
    """
    names = list(contestants)
    start = first % len(names) if names else 0
    seconds, given = {}, {}
    for name in names[start:] + names[:start]:
        time.sleep(PAUSE)
        seconds[name], given[name] = timed(contestants[name])
        if isinstance(given[name], Elsewhere):
            seconds[name], given[name] = given[name].seconds, given[name].given
        say(f"    {name}: {seconds[name]:.3f} s")
    return {name: seconds[name] for name in names}, {name: given[name] for name in names}


# -- models, in this process and in that of other libraries --------------------------------------------------


@dataclass(frozen=True)
class Source:
    """A network: by its name in fusioncam, with its weights, or one of timm's with random weights from a seed.

    ``engine`` runs our masked passes.
    """

    name: str
    layer: str | None = None
    device: str = "cpu"
    seed: int | None = None
    engine: str = "torch"

    def load(self) -> ExplainedModel:
        """Return the model."""
        if self.seed is None:
            return load_model(self.name, self.layer, device=self.device, speed=Speed(engine=self.engine))
        torch.manual_seed(self.seed)
        model = architecture(f"timm:{self.name}")
        model.network.to(self.device).eval()
        return at_speed(model, Speed(engine=self.engine))


def at_speed(model, speed):
    """Return the same network with other speed settings."""
    return ExplainedModel(model.network, model.layer, preprocessing=model.preprocessing, speed=speed)


@contextmanager
def visiting(source, model, one_process):
    """Yield a function ``ask(peer, *arguments)`` that turns a function of ``peers`` into a contestant.

    A peer runs in its own process with the same network, as it does for its users: this library configures the C
    library of its process to keep freed memory, which would make peers faster. With ``one_process`` it runs here.
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
    """Run a peer in this process, after one pass to warm up."""
    model = loaded(source)
    arguments = [torch.from_numpy(one).to(model.device) if isinstance(one, np.ndarray) else one for one in sent]
    model.logits(arguments[0])
    seconds, given = timed(partial(peer, model, *arguments))
    return Elsewhere(seconds, given.cpu().numpy())


@cache
def loaded(source: Source) -> ExplainedModel:
    """Return the network of a source, loaded once."""
    return source.load()
