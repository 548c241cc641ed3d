"""Measure one contestant's peak memory in this process (Linux).

    peak.py fusioncam|pytorch-grad-cam NETWORK SEED torch|openvino

Prints JSON: MiB above the resident memory after loading the network and one plain pass.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

from fusioncam import METHODS, Speed
from fusioncam.zoo.loading import architecture
from harness import at_speed

STATUS, SET_BACK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def mib(field):
    """Return the resident memory of this process: VmRSS now, VmHWM at its peak."""
    (line,) = (one for one in STATUS.read_text().splitlines() if one.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


def ready(contestant, model, x, target):
    """Return the function to measure, after importing everything it needs."""
    if contestant == "fusioncam":
        return lambda: METHODS["fusion-cam"](model, x, target)
    import peers  # imported only for peers, because it takes memory

    layer = model.layers.default(x)
    return lambda: peers.gradcam_score_cam(model, x, target, layer)


def main():
    contestant, network, seed, engine = sys.argv[1:]
    if not STATUS.exists():
        sys.exit("memory is read from /proc, which exists on Linux only")
    torch.manual_seed(int(seed))
    model = at_speed(architecture(f"timm:{network}"), Speed(engine=engine))
    model.network.eval()
    x = torch.randn(1, 3, *model.preprocessing.size)
    target = model.logits(x).argmax(1)
    run = ready(contestant, model, x, target)
    SET_BACK.write_text("5")  # reset the peak, which loading the network reached
    before, began = mib("VmRSS"), time.perf_counter()
    run()
    measured = {"mib": mib("VmHWM") - before, "seconds": time.perf_counter() - began}
    print(json.dumps(measured | {"channels": model.record(x, target).activations.shape[1]}))


if __name__ == "__main__":
    main()
