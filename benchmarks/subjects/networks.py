"""Score-CAM of other networks against pytorch-grad-cam's, so that a gain is no accident of one of them.

The weights are random: nothing is downloaded, and what a pass costs does not depend on them. Both score the same
few channels, those that vary most, at the layer that fusioncam finds: what is compared is the time of a masked pass,
without the passes that ours saves where channels are constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import figures
import peers
from fusioncam.masks import ChannelMasks
from fusioncam.methods import ScoreCAM
from fusioncam.methods.region import most_varied
from harness import Source, Subject, in_turn, samples, visiting
from meta import say

from .exact import prepared

OURS, PEER = "fusioncam score-cam", "pytorch-grad-cam score-cam"
# lower than with trained weights: channels of both signs nearly cancel, and the ReLU's place then tells more
ALIKE = 0.8
NETWORKS = ("resnet50", "vgg16", "mobilenetv2_100", "convnext_tiny", "vit_small_patch16_224")


@dataclass(frozen=True)
class Networks(Subject):
    """Milliseconds a masked pass; a row is a network and a picture."""

    name: ClassVar[str] = "networks"
    what: ClassVar[str] = "Score-CAM of the same few channels, random weights, float32, batch 1"

    networks: tuple[str, ...] = NETWORKS
    channels: int = 64
    pictures: Path | None = None
    count: int = 3
    seed: int = 0
    device: str = "cpu"
    one_process: bool = False

    def planned(self):
        """Count the rows to come, if there are as many pictures."""
        return self.count * len(self.networks)

    def rows(self):
        """Measure network by network, picture by picture."""
        for network in self.networks:
            source = Source(network, None, self.device, self.seed)
            model = source.load()
            with visiting(source, model, self.one_process) as ask:
                for number, (name, x, target) in enumerate(samples(model, self.pictures, self.count)):
                    say(f"{self.name}: {network} {number + 1} of {self.count}: {name}")
                    if not number:
                        prepared(model, x)
                    yield {"picture": name, "network": network, **self.row(model, ask, x, target, number)}

    def row(self, model, ask, x, target, number):
        """Time both on one picture, and look whether they gave the same map."""
        layer, activations = model.layer_for(x), model.record(x, target).activations
        alive = ChannelMasks(activations, x.shape[2:]).alive.T
        chosen = most_varied(activations, alive, self.channels)[0].nonzero()[:, 0]
        ours = partial(ScoreCAM(channels=self.channels), model, x, target)
        peer = ask(peers.gradcam_score_cam, x, target, layer, chosen)
        seconds, given = in_turn({OURS: ours, PEER: peer}, number)
        alike = figures.correlation(given[OURS][0].cpu(), given[PEER])
        return {
            "layer": layer,
            "channels": activations.shape[1],
            "scored": len(chosen),
            "seconds": seconds,
            "correlation": {PEER: alike},
            "agrees": {PEER: alike is not None and alike >= ALIKE},
        }

    def figures(self, rows):
        """Sum up network by network."""
        return [
            told
            for network in dict.fromkeys(row["network"] for row in rows)
            for told in self.of(network, [row for row in rows if row["network"] == network])
        ]

    @staticmethod
    def of(network, rows):
        """Sum up one network."""
        told = [
            figures.figure(
                f"{network}: a masked pass of {name}",
                [1000 * row["seconds"][name] / row["scored"] for row in rows],
                "ms",
            )
            for name in (OURS, PEER)
        ]
        values = figures.ratios(rows, PEER, OURS)
        return [*told, figures.figure(f"{network}: times as fast as {PEER}", values, "x")]
