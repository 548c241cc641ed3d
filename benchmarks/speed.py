"""How fast is Fusion-CAM here, how much memory does it take, and what do its shortcuts cost?

    python benchmarks/speed.py [--what exact share budget ablation curves memory networks precision scaling]
                               [--images FOLDER] [--count N] [--peer-count N] [--budget N] [--compile] ...

Contestants take turns on every image, so that a slow spell of the machine hits all alike, and ratios are those
of one image. What they gave is compared before their time counts. Progress goes to standard error, results to a
JSON file a subject, which is written after every image: a run that is cut off keeps what it has.
`python benchmarks/tables.py` makes the tables of them. See benchmarks/README.md.
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
    """Measure, and store what there is after every image."""
    torch.manual_seed(getattr(subject, "seed", 0))
    facts, began, rows, planned = meta.metadata(device), time.perf_counter(), [], subject.planned()
    result = None
    for row in subject.rows():
        rows.append(row)
        result = meta.stored(subject, facts, began, rows, planned)
        meta.write(out, result)
    if result is None:
        raise FusionCamError(f"{subject.name}: nothing to measure: no image in the folder, or --count is 0")
    if not result["complete"]:  # the folder has fewer images than were asked for, and that is all there is
        result = meta.stored(subject, facts, began, rows, len(rows))
        meta.write(out, result)
    return result


def tell(result):
    """Print what came out."""
    print(f"{result['subject']}: {result['what']}; {result['images']} images")
    for told in result["figures"]:
        mark = {True: "met: ", False: "MISSED: ", None: ""}[told["met"]]
        print(f"  {mark}{told['what']}: {figures.shown(told)}")


def chosen(arguments):
    """Make the subjects that are asked for, each with those of the settings that it has."""
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    for name in arguments.what:
        kind = SUBJECTS[name]
        names = {field.name for field in fields(kind)}
        yield kind(**{one: value for one, value in given.items() if one in names})


def parsed(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--what", nargs="+", default=list(SUBJECTS), choices=list(SUBJECTS), help="default: all")
    add("--images", type=existing, help="a folder; default: the free images that scikit-image brings")
    add("--count", type=positive, help="images, evenly spaced in the folder; each subject has its default")
    add("--peer-count", type=positive, help="exact: peers on the first so many images alone")
    add("--compile", action="store_true", default=None, help="exact: let the compiled network race too")
    add(
        "--one-process",
        action="store_true",
        default=None,
        help="let peers run in our process, not in one of their own",
    )
    add("--repeats", type=positive, help="share, memory, scaling: how often")
    add("--seconds", type=float, help="share: how long each repeat may take")
    add("--budget", type=positive, help="budget: masks that are scored")
    add("--layers", nargs="+", type=str, help="budget: where")
    add("--channels", type=positive, help="networks: how many both score")
    add("--networks", nargs="+", help="networks: names of timm's")
    add("--network", help="memory: a name of timm's")
    add("--precisions", nargs="+", choices=("bfloat16", "float16", "auto"), help="precision: which beside exact")
    add("--model", help="any that fusioncam loads by name, for all but networks and memory")
    add("--layer", help="its layer")
    add("--device", help="cpu or cuda; default: cpu")
    add("--seed", type=int, help="of random weights and of the bootstrap")
    add("--out", type=Path, default=meta.RESULTS, help="where the JSON files go; default: %(default)s")
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
        raise argparse.ArgumentTypeError(f"{text} is no folder")
    return Path(text)


def main():
    arguments = parsed()
    for subject in chosen(arguments):
        try:
            tell(run(subject, arguments.out, arguments.device or "cpu"))
        except FusionCamError as error:
            raise SystemExit(f"{subject.name}: {error}") from None
        except KeyboardInterrupt:
            raise SystemExit(f"{subject.name}: stopped; {arguments.out} holds the images that were done") from None


if __name__ == "__main__":
    main()
