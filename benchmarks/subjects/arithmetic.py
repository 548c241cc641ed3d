"""Compare the arithmetic of masked passes with the peak of the processor.

The peak is that of the fastest product of two square float32 matrices, in PyTorch or OpenVINO, with all threads.
The arithmetic of a pass is what `torch.utils.flop_counter` counts, with two operations for each multiplication and
its addition.
Weights are random: nothing is downloaded, and the cost of a pass does not depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import ClassVar

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import figures
from fusioncam import Speed
from fusioncam.benchmark.throughput import example_input, masked_rate, random_masks
from fusioncam.inference.engines.openvino_network import properties
from harness import Source, Subject, at_speed, timed
from meta import say

from .networks import NETWORKS

SIDES = (1024, 2048)


@dataclass(frozen=True)
class Arithmetic(Subject):
    """A row is a network and a repeat; ``masks`` are scored in each engine, after as many to warm up."""

    name: ClassVar[str] = "arithmetic"
    what: ClassVar[str] = "operations a second of masked passes over the peak of the processor, float32"

    networks: tuple[str, ...] = ("efficientnet_lite0", *NETWORKS)
    masks: int = 96
    repeats: int = 3
    seed: int = 0
    device: str = "cpu"
    engine: str = "torch"

    def planned(self):
        """Return the number of rows."""
        return len(self.networks) * self.repeats

    def rows(self):
        """Yield the measurements of each network and repeat."""
        for network in self.networks:
            model = Source(network, None, self.device, self.seed).load()
            x = example_input(model)
            target, masks, operations = model.logits(x).argmax(1), random_masks(self.masks, x), counted(model, x)
            models = {one: at_speed(model, Speed(engine=one)) for one in dict.fromkeys(("torch", self.engine))}
            for one in models.values():
                masked_rate(one, x, target, masks)
            for repeat in range(self.repeats):
                say(f"{self.name}: {network} {repeat + 1} of {self.repeats}")
                rates = {name: masked_rate(one, x, target, masks) for name, one in models.items()}
                measured = {"operations": operations, "peak": peak(self.device, self.engine), "rates": rates}
                yield {"image": f"random colours, repeat {repeat + 1}", "network": network, **measured}

    def figures(self, rows):
        """Return the figures of each network."""
        return figures.by_network(rows, of)


def of(rows, network):
    """Return the figures of one network."""
    found = [
        figures.figure(f"{network}: operations of a pass", [row["operations"] / 1e9 for row in rows[:1]], "G"),
        figures.figure(f"{network}: peak of the processor", [row["peak"] / 1e9 for row in rows], "G/s"),
    ]
    for engine in rows[0]["rates"]:
        rates = [row["rates"][engine] for row in rows]
        shares = [100 * row["rates"][engine] * row["operations"] / row["peak"] for row in rows]
        found += [
            figures.figure(f"{network}: masked passes in {engine}", rates, "images/s"),
            figures.figure(f"{network}: share of the peak in {engine}", shares, "%"),
        ]
    return found


def counted(model, x):
    """Return the floating-point operations of a pass of one image."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.network(x)
    return counter.get_total_flops()


def peak(device, engine, seconds=0.3):
    """Return the operations a second of the fastest product of matrices."""
    products = [partial(_product, *torch.randn(2, side, side, device=device)) for side in SIDES]
    if engine == "openvino":
        products += [_product_in_openvino(side) for side in SIDES]
    rates = [_rate(product, seconds) for product in products]
    return max(2 * side**3 * rate for side, rate in zip(cycle(SIDES), rates, strict=False))


def _product(first, second):
    return first @ second


def _product_in_openvino(side):
    """Return a function that multiplies two matrices in OpenVINO."""
    import openvino
    from openvino import opset13

    first, second = np.random.default_rng(0).normal(size=(2, side, side)).astype(np.float32)
    given = opset13.parameter([side, side], np.float32)
    model = openvino.Model([opset13.matmul(given, opset13.constant(second), False, False)], [given])
    compiled = openvino.Core().compile_model(model, "CPU", properties(1, torch.get_num_threads(), torch.float32))
    return partial(compiled.create_infer_request().infer, [first], share_inputs=True, share_outputs=True)


def _rate(call, seconds):
    """Return the calls a second, after one to warm up."""
    call()
    times = max(1, round(seconds / timed(call)[0]))
    return times / timed(lambda: [call() for _ in range(times)])[0]
