"""Compare methods that use gradients with other libraries and with a plain pass, for single images and batches.

The weights are random: nothing is downloaded, and the cost of a pass does not depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import ClassVar

import torch

import figures
import peers
from fusioncam import METHODS
from harness import Elsewhere, Source, Subject, in_turn, samples, timed, visiting
from meta import say

NETWORKS = ("efficientnet_lite0", "resnet50", "vgg16", "convnext_tiny")
NAMES = ("grad-cam", "layer-cam", "hires-cam")
PLAIN, PLAIN_HERE = "plain pass", "plain pass in our process"
GRADCAM, TORCHCAM = "pytorch-grad-cam", "torch-cam"
PEERS = {f"{GRADCAM} {name}": (peers.gradcam_gradient, name) for name in peers.GRADCAM_GRADIENT}
PEERS |= {f"{TORCHCAM} {name}": (peers.torchcam_gradient, name) for name in peers.TORCHCAM_GRADIENT}
ALIKE = 0.95


@dataclass(frozen=True)
class Gradient(Subject):
    """A row is a network and a batch: ``count`` single images, then ``repeats`` batches of ``batch`` images each."""

    name: ClassVar[str] = "gradient"
    what: ClassVar[str] = "methods that use gradients, at the layer that fusioncam selects, random weights, float32"

    networks: tuple[str, ...] = NETWORKS
    images: Path | None = None
    count: int = 8
    batch: int = 16
    repeats: int = 5
    seed: int = 0
    device: str = "cpu"
    one_process: bool = False

    def planned(self):
        """Return the number of rows."""
        return len(self.networks) * (self.count + self.repeats)

    def rows(self):
        """Yield the measurements of each network and batch."""
        for network in self.networks:
            source = Source(network, None, self.device, self.seed)
            model = source.load()
            with visiting(source, model, self.one_process) as ask:
                for number, (name, x, target) in enumerate(self.batches(model)):
                    say(f"{self.name}: {network} {number + 1} of {self.count + self.repeats}: {name}")
                    yield {"image": name, "network": network, **row(model, ask, x, target, number)}

    def batches(self, model):
        """Yield name, input and classes of single images, then of batches; images are repeated as needed."""
        found = list(samples(model, self.images, max(self.count, self.batch)))
        yield from islice(cycle(found), self.count)
        names, images, targets = zip(*islice(cycle(found), self.batch), strict=True)
        for _ in range(self.repeats):
            yield f"{names[0]} and others", torch.cat(images), torch.cat(targets)

    def figures(self, rows):
        """Return the figures of each network."""
        return figures.by_network(rows, self.of)

    def of(self, rows, network):
        """Return the figures of one network."""
        summary = []
        for size in dict.fromkeys(row["batch"] for row in rows):
            summary += of_size(size, [row for row in rows if row["batch"] == size])
        alike = [value for row in rows for value in row["correlation"].values()]
        summary.append(("correlation with ours of other libraries", alike, "", {}))
        return [figures.figure(f"{network}: {what}", values, unit, aims=aims) for what, values, unit, aims in summary]


def row(model, ask, x, target, number):
    """Time all contestants on one batch and compare their heatmaps."""
    layer = model.layers.default(x)
    calls = {f"fusioncam {name}": partial(METHODS[name], model, x, target) for name in NAMES}
    if not number:
        METHODS[NAMES[0]](model, x, target)  # what is found out once per network is not timed
    calls |= {PLAIN_HERE: partial(peers.plain_pass, model, x)}
    contestants = {name: partial(warmed_up, model, x, call) for name, call in calls.items()}
    contestants |= {PLAIN: ask(peers.plain_pass, x)}
    contestants |= {name: ask(peer, x, target, layer, method) for name, (peer, method) in PEERS.items()}
    seconds, given = in_turn(contestants, number)
    alike = {name: lowest(given[f"fusioncam {method}"].cpu(), given[name]) for name, (_, method) in PEERS.items()}
    return {
        "batch": len(x),
        "layer": layer,
        "seconds": seconds,
        "correlation": alike,
        "agrees": {name: value is not None and value >= ALIKE for name, value in alike.items()},
    }


def warmed_up(model, x, call):
    """Return seconds and result of a call after one pass, as those of other processes are measured."""
    model.logits(x)
    return Elsewhere(*timed(call))


def lowest(ours, theirs):
    """Return the lowest correlation of two heatmaps of one image; None if one of them is constant."""
    found = [figures.correlation(one, other) for one, other in zip(ours, theirs, strict=True)]
    return None if None in found else min(found)


def of_size(size, rows):
    """Return name, values, unit and aims of the figures of one batch size."""
    many = f"batch {size}"
    summary = [(f"{name}, {many}", milliseconds(rows, name), "ms an image", {}) for name in (PLAIN, PLAIN_HERE)]
    for name in NAMES:
        ours = f"fusioncam {name}"
        aim = {"median": "<= 1.15"} if name == "grad-cam" else {}
        summary.append((f"{name}, {many}", milliseconds(rows, ours), "ms an image", {}))
        summary += [
            (f"{name}, {many}, over a {plain}", figures.ratios(rows, ours, plain), "x", aim if plain == PLAIN else {})
            for plain in (PLAIN, PLAIN_HERE)
        ]
        for library in (GRADCAM, TORCHCAM):
            if f"{library} {name}" in PEERS:
                aims = {"median": ">= 3"} if (library, name, size > 1) == (GRADCAM, "grad-cam", True) else {}
                ratios = figures.ratios(rows, f"{library} {name}", ours)
                summary.append((f"{name}, {many}, times as fast as {library}", ratios, "x", aims))
    return summary


def milliseconds(rows, name):
    """Return the milliseconds per image."""
    return [1000 * row["seconds"][name] / row["batch"] for row in rows]
