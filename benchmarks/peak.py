"""Measure one contestant's peak memory in this process: `peak.py fusioncam|pytorch-grad-cam NETWORK SEED` (Linux).

Told as JSON on standard output: MiB above what was resident after loading the network and one plain pass.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

from fusioncam import METHODS
from fusioncam.zoo.loading import architecture

STATUS, SET_BACK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def mib(field):
    """Read the resident memory of this process: VmRSS now, VmHWM at its peak."""
    (line,) = (one for one in STATUS.read_text().splitlines() if one.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


def ready(contestant, model, x, target):
    """Give what is to be measured, with all that it needs imported."""
    if contestant == "fusioncam":
        return lambda: METHODS["fusion-cam"](model, x, target)
    import peers  # what it imports is no memory of ours

    layer = model.layers.default(x)
    return lambda: peers.gradcam_score_cam(model, x, target, layer)


def main():
    contestant, network, seed = sys.argv[1:]
    if not STATUS.exists():
        sys.exit("memory is read from /proc: on Linux alone")
    torch.manual_seed(int(seed))
    model = architecture(f"timm:{network}")
    model.network.eval()
    x = torch.randn(1, 3, *model.preprocessing.size)
    target = model.logits(x).argmax(1)
    run = ready(contestant, model, x, target)
    SET_BACK.write_text("5")  # the peak so far, of loading, is forgotten
    before, began = mib("VmRSS"), time.perf_counter()
    run()
    told = {"mib": mib("VmHWM") - before, "seconds": time.perf_counter() - began}
    print(json.dumps(told | {"channels": model.record(x, target).activations.shape[1]}))


if __name__ == "__main__":
    main()
