"""Measure speed and memory of Fusion-CAM on this machine, and the error of its approximations.

    python benchmarks/speed.py [--what exact share budget ablation curves gradient memory networks ...]
                               [--images FOLDER] [--count N] [--peer-count N] [--budget N] [--compile] ...

Contestants run in rotation on every image, so that a slow period of the machine affects all of them, and ratios are
those of one image. Times count only if the results agree. Progress goes to standard error, results to a JSON file per
subject, which is written after every image: an interrupted run keeps its numbers.
`python benchmarks/tables.py` writes the tables. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import fields
from pathlib import Path

import torch

import figures
import meta
from fusioncam.errors import FusionCamError
from subjects import SUBJECTS


def run(subject, out, device):
    """Measure a subject, and store the result after every image."""
    torch.manual_seed(getattr(subject, "seed", 0))
    facts, began, rows, planned = meta.metadata(device), time.perf_counter(), [], subject.planned()
    result = None
    for row in subject.rows():
        rows.append(row)
        result = meta.stored(subject, facts, began, rows, planned)
        meta.write(out, result)
    if result is None:
        raise FusionCamError(f"{subject.name}: nothing to measure: no image in the folder, or --count is 0")
    if not result["complete"]:  # the folder has fewer images than requested
        result = meta.stored(subject, facts, began, rows, len(rows))
        meta.write(out, result)
    return result


def print_figures(result):
    """Print the figures of a result."""
    print(f"{result['subject']}: {result['what']}; {result['images']} images")
    for figure in result["figures"]:
        mark = {True: "met: ", False: "MISSED: ", None: ""}[figure["met"]]
        print(f"  {mark}{figure['what']}: {figures.shown(figure)}")


def chosen(arguments):
    """Yield the requested subjects, each with those of the settings that it has."""
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    for name in arguments.what:
        kind = SUBJECTS[name]
        names = {field.name for field in fields(kind)}
        yield kind(**{one: value for one, value in given.items() if one in names})


def parsed(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--what", nargs="+", default=list(SUBJECTS), choices=list(SUBJECTS), help="default: all")
    add("--images", type=existing, help="a folder; default: the free images of scikit-image")
    add("--count", type=positive, help="number of images, evenly spaced in the folder; default: that of the subject")
    add("--peer-count", type=positive, help="exact: number of images on which peers run")
    add("--compile", action="store_true", default=None, help="exact: also measure the compiled network")
    add(
        "--one-process",
        action="store_true",
        default=None,
        help="run peers in this process instead of their own",
    )
    add(
        "--repeats",
        type=positive,
        help="share, gradient, memory, scaling, start, conversion, report: number of repeats",
    )
    add("--seconds", type=float, help="share: seconds per repeat")
    add("--budget", type=positive, help="budget: number of masks to score")
    add("--layers", nargs="+", type=str, help="budget: names of layers")
    add("--channels", type=positive, help="networks: number of channels to score")
    add("--networks", nargs="+", help="networks, network-curves, gradient, memory: names in timm")
    add("--ours-alone", action="store_true", default=None, help="memory: leave out pytorch-grad-cam")
    add("--precisions", nargs="+", choices=("bfloat16", "float16", "auto"), help="precision: compared with exact")
    add("--model", help="name of a model, for all subjects except networks, gradient and memory")
    add("--layer", help="layer of the model")
    add("--engine", choices=("torch", "openvino"), help="of our masked passes; exact measures both; default: torch")
    add("--device", help="cpu or cuda; default: cpu")
    add("--seed", type=int, help="seed of random weights and of the bootstrap")
    add("--out", type=Path, default=meta.RESULTS, help="folder of the JSON files; default: %(default)s")
    arguments = parser.parse_args(words)
    for name in ("layers", "networks", "precisions"):
        if getattr(arguments, name):
            setattr(arguments, name, tuple(getattr(arguments, name)))
    return arguments


def positive(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def existing(text):
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder")
    return Path(text)


def main():
    arguments = parsed()
    for subject in chosen(arguments):
        try:
            print_figures(run(subject, arguments.out, arguments.device or "cpu"))
        except FusionCamError as error:
            raise SystemExit(f"{subject.name}: {error}") from None
        except KeyboardInterrupt:
            raise SystemExit(f"{subject.name}: stopped; {arguments.out} holds the finished images") from None


if __name__ == "__main__":
    main()
