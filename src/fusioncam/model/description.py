"""Look at a network before it is explained: what it returns, what works with it, and which layer is explained."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from fusioncam.data.image_content import ImageContent, contents_of
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import FusionCamWarning, describe_error
from fusioncam.inference import hooks
from fusioncam.inference.forward import NetworkRunner
from fusioncam.inference.output_reading import LOGITS, WARNINGS
from fusioncam.inference.random_state import ADVICE, kept_random_state
from fusioncam.model.layer_search import LayerSearch
from fusioncam.model.layouts import Layout
from fusioncam.model.scores import probabilities_of
from fusioncam.utils.quiet import ignoring

T = TypeVar("T")

_WITHIN_0_AND_1 = (
    "all outputs for this image are within [0, 1]: if the network computes probabilities itself, return the values "
    "before, or wrap the network in fusioncam.tasks.MultiLabel"
)


@dataclass(frozen=True)
class LayerDescription:
    """The layer that is explained: the ``shape`` of its output for one image, and how it is read as feature maps."""

    name: str
    kind: str
    shape: tuple[int, ...]
    reading: str
    rejected: tuple[str, ...]


@dataclass(frozen=True)
class Description:
    """What a network does with one input ``(1, C, *s)``; ``str(description)`` is one paragraph.

    ``outputs`` is the number of scores and ``reading`` what they are; ``target`` and ``probability`` are the
    predicted class. ``random`` is whether the network is random in evaluation mode, ``hooks`` and ``gradients``
    whether these work, which methods need. What could not be found out is None. ``problems`` says for each problem
    what it is and what to do.
    """

    model: str
    input: tuple[int, ...]
    outputs: int | None = None
    reading: str | None = None
    target: int | None = None
    probability: float | None = None
    random: bool | None = None
    hooks: bool = False
    gradients: bool = False
    layer: LayerDescription | None = None
    layers: int = 0
    image: ImageContent | None = None
    problems: tuple[str, ...] = field(default=())
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return everything as data that JSON can hold."""
        return asdict(self)

    def __str__(self) -> str:
        problems = [f"{problem[0].upper()}{problem[1:]}." for problem in self.problems]
        return " ".join([*self._sentences(), *(problems or ["No problem was found."])])

    def _sentences(self) -> Iterator[str]:
        if self.outputs is None:
            yield f"{self.model} returns no scores for an input {self.input}."
            return
        same = "other scores each time" if self.random else "the same scores each time"
        yield (
            f"{self.model} returns {self.outputs:,} {'score' if self.outputs == 1 else 'scores'} for an input "
            f"{self.input}, read as {self.reading}, and {same}: class {self.target} has {self.probability:.1%}."
        )
        yield f"Hooks {'work' if self.hooks else 'do not work'}, gradients {'work' if self.gradients else 'do not'}."
        if self.layer is not None:
            yield _layer_sentence(self.layer, self.layers)


def _layer_sentence(layer: LayerDescription, layers: int) -> str:
    rejected = f", not as {' or '.join(layer.rejected)}" if layer.rejected else ""
    return (
        f"The layer is '{layer.name}' ({layer.kind}), one of {layers} with feature maps; its output {layer.shape} is "
        f"read as {layer.reading}{rejected}."
    )


def describe(
    runner: NetworkRunner,
    search: LayerSearch,
    x: Tensor,
    preprocessing: Preprocessing,
    name: str,
    size: tuple[int, int] | None = None,
) -> Description:
    """Return what the network does with the first image of ``x``; it takes about ten passes.

    ``size`` is the (width, height) of the image that ``x`` was made of. Never raises an error for the network: what
    fails is one of the ``problems``.
    """
    return _Look(runner, search, x[:1], preprocessing, size).description(name)


class _Look:
    """Collect facts about a network and its problems."""

    def __init__(
        self,
        runner: NetworkRunner,
        search: LayerSearch,
        x: Tensor,
        preprocessing: Preprocessing,
        size: tuple[int, int] | None,
    ) -> None:
        self.runner, self.search, self.x = runner, search, x
        self.preprocessing, self.size = preprocessing, size
        self.problems: list[str] = []

    def description(self, name: str) -> Description:
        began = time.perf_counter()
        with kept_random_state(self.x.device), ignoring(FusionCamWarning):  # they are among the problems
            facts = self._scores()
            if facts:
                facts |= self._layers()
            image = self._image()
        seconds = round(time.perf_counter() - began, 4)
        problems = tuple(dict.fromkeys(self.problems))
        return Description(name, tuple(self.x.shape[1:]), **facts, image=image, problems=problems, seconds=seconds)

    def _try(self, action: Callable[[], T], what: str) -> T | None:
        """Return the result of an action, or None after an error, which becomes a problem."""
        try:
            return action()
        except Exception as error:  # a network may raise anything
            self.problems.append(f"{what}: {describe_error(error).strip().rstrip('.')}")
            return None

    # -- scores -------------------------------------------------------------------------------------------------

    def _scores(self) -> dict[str, Any]:
        logits = self._try(self._logits, "the network cannot be run")
        if logits is None:
            return {}
        reading = self.runner.reader.reading or LOGITS
        self.problems += [WARNINGS[reading]] if reading in WARNINGS else []
        if reading == LOGITS and ((logits >= 0) & (logits <= 1)).all():
            self.problems.append(_WITHIN_0_AND_1)
        if not logits.isfinite().all():
            self.problems.append("the scores contain NaN or infinity: check the weights and the input")
        randomness = self._try(lambda: self.runner.randomness(self.x), "the network cannot be run twice")
        if randomness is not None and randomness.is_random:
            self.problems.append(f"{randomness}: {ADVICE}")
        probabilities = probabilities_of(logits.float())[0].nan_to_num(0)
        return {
            "outputs": logits.shape[1],
            "reading": reading,
            "target": int(probabilities.argmax()),
            "probability": probabilities.max().item(),
            "random": None if randomness is None else randomness.is_random,
        }

    def _logits(self) -> Tensor:
        with self.runner.exclusive_eval(grad=False):
            return self.runner(self.runner.validate_input(self.x), counted=False)

    # -- layers -------------------------------------------------------------------------------------------------

    def _layers(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"hooks": self._hooks_work(), "gradients": self._gradients_work()}
        if not facts["hooks"]:
            self.problems.append(
                "hooks do not run in this network, as in TorchScript and compiled networks, so that no layer can be "
                "recorded: load the network as Python modules, or use the method rise, which needs scores only"
            )
        elif not facts["gradients"]:
            self.problems.append(
                "the scores have no gradients, as in quantised networks and under torch.no_grad(): use score-cam, "
                "recipro-cam or rise, which need none"
            )
        name = self._try(lambda: self.search.default(self.x), "no layer is chosen") if facts["hooks"] else None
        candidates = self._try(lambda: self.search.candidates(self.x), "no layer is found") if name else None
        layer = self._try(lambda: self._layer(str(name)), f"layer '{name}' cannot be read") if name else None
        return facts | {"layer": layer, "layers": len(candidates or ())}

    def _hooks_work(self) -> bool:
        try:
            with hooks.trace(self.runner.network) as calls:
                self._logits()
        except Exception:  # torch raises RuntimeError for TorchScript, other networks may raise anything
            return False
        return bool(calls)

    def _gradients_work(self) -> bool:
        try:
            with self.runner.exclusive_eval(grad=True):
                x = self.runner.validate_input(self.x).clone().requires_grad_()
                score = self.runner(x, counted=False).max()
                return score.requires_grad and torch.autograd.grad(score, x, allow_unused=True)[0] is not None
        except Exception:  # quantised operations raise anything
            return False

    def _layer(self, name: str) -> LayerDescription:
        with hooks.capture(self.runner.network, [name], self.search.readings) as outputs:
            self._logits()
        run = self.search.run(name, len(outputs[name]), self.runner.validate_input(self.x))
        output = outputs[name][run].shape
        layout = self.search.layout(name, output, self.runner.validate_input(self.x))
        shape, kind = tuple(output[1:]), type(hooks.find(self.runner.network, name)).__name__
        rejected = tuple(_other_readings(shape, layout, self.x.dim() - 2))
        return LayerDescription(name, kind, shape, _reading_text(shape, layout), rejected)

    # -- the image ----------------------------------------------------------------------------------------------

    def _image(self) -> ImageContent | None:
        if self.x.dim() != 4 or self.x.shape[1] != self.preprocessing.channels:
            return None
        sizes = None if self.size is None else [self.size]
        (content,) = contents_of(self.x.detach(), self.preprocessing, sizes)
        self.problems += content.problems
        return content


def _reading_text(shape: tuple[int, ...], layout: Layout) -> str:
    """Return how a layout reads the output of a layer for one image.

    >>> _reading_text((197, 768), Layout((14, 14), channels_first=False, prefix=1))
    'tokens: 768 channels of 14 x 14, beside 1 other token'
    """
    channels = shape[0] if layout.channels_first else shape[-1]
    maps = f"{channels:,} channels of {' x '.join(map(str, layout.sides))}"
    maps += ", rows and columns in reverse order" if layout.swapped else ""
    if layout.channels_first:
        return f"{maps}, channels first"
    others = layout.prefix + layout.suffix
    if len(shape) == len(layout.sides) + 1 and not others:
        return f"{maps}, channels last"
    return f"tokens: {maps}" + (f", beside {others} other token{'s' * (others > 1)}" if others else "")


def _other_readings(shape: tuple[int, ...], layout: Layout, sides: int) -> Iterator[str]:
    """Yield the other readings that the shape alone allows: with channels first or last, or as a line of tokens.

    >>> list(_other_readings((7, 7, 512), Layout((7, 7), channels_first=False), 2))
    ['7 channels of 7 x 512, channels first']
    """
    if len(shape) in (2, sides + 1):
        for other in (Layout(shape[1:]), Layout(shape[:-1], channels_first=False)):
            if (other.channels_first, other.sides) != (layout.channels_first, layout.sides):
                yield _reading_text(shape, other)
