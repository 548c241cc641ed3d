"""How fast is Fusion-CAM here, against the Score-CAM alone of the peers? Same network, layer, picture, class.

    python benchmarks/speed.py [--repeats 3] [--pictures FOLDER --count 1] [--layer bn2] [--out FILE.json]

Each repeat runs every contestant once on every picture, in turn, so that a slow spell of the machine hits all
alike. What counts is the ratio of the medians. One forward pass of each warms up first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch
from pytorch_grad_cam import ScoreCAM as PeerScoreCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from skimage import data
from torchcam.methods import ScoreCAM as TorchcamScoreCAM

from fusioncam import METHODS, load_model
from fusioncam.images import find_pictures, open_picture
from fusioncam.sweep import metered

OURS = "fusioncam fusion-cam"


def ours(model, layer, x, target):
    METHODS["fusion-cam"](model, x, target)


def pytorch_grad_cam(model, layer, x, target):
    with PeerScoreCAM(model=model.network, target_layers=[model.network.get_submodule(layer)]) as cam:
        cam(input_tensor=x, targets=[ClassifierOutputTarget(int(target))])


def torchcam(model, layer, x, target):
    with TorchcamScoreCAM(model.network, layer) as extractor, torch.no_grad():
        extractor(int(target), model.network(x))


CONTESTANTS = {
    OURS: ours,
    "pytorch-grad-cam score-cam": pytorch_grad_cam,
    "torch-cam score-cam": torchcam,
}


def seconds(contestant, *args):
    began = time.perf_counter()
    contestant(*args)
    return time.perf_counter() - began


def metadata(arguments):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    packages = ("fusioncam", "torch", "timm", "grad-cam", "torchcam")
    return {
        "schema_version": 1,
        "what": "seconds a picture, float32, batch 1",
        "model": arguments.model,
        "layer": arguments.layer,
        "repeats": arguments.repeats,
        "commit": commit.stdout.strip() or None,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_before": os.getloadavg()[0],
    }


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": values}


def measure(arguments):
    model = load_model(arguments.model, arguments.layer, device="cpu")
    found = sorted(find_pictures([arguments.pictures])) if arguments.pictures else [data.chelsea()]
    inputs = [model.preprocessing(open_picture(one))[None] for one in found[: arguments.count]]
    targets = [model.logits(x).argmax(1) for x in inputs]
    times = {name: [] for name in CONTESTANTS}
    for repeat in range(arguments.repeats):
        for number, (x, target) in enumerate(zip(inputs, targets, strict=True)):
            for name, contestant in CONTESTANTS.items():
                times[name].append(seconds(contestant, model, arguments.layer, x, target))
                print(f"{repeat} {number} {name}: {times[name][-1]:.1f} s", file=sys.stderr)
    with metered() as meter:
        ours(model, arguments.layer, inputs[0], targets[0])
    channels = model.record(inputs[0], targets[0]).activations.shape[1]
    return {
        "pictures": len(inputs),
        "channels": channels,
        "passes_of_first_picture": meter.passes,
        "seconds": {name: spread(values) for name, values in times.items()},
        "times_as_fast_as": {
            name: statistics.median(values) / statistics.median(times[OURS])
            for name, values in times.items()
            if name != OURS
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--layer", default="bn2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pictures", type=Path, help="a folder; default: scikit-image's cat")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "speed.json")
    arguments = parser.parse_args()
    result = {"metadata": metadata(arguments), "results": measure(arguments)}
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["results"]["times_as_fast_as"], indent=2))


if __name__ == "__main__":
    main()
