"""Measure how often heatmaps and baselines get each level of a trust card, and the data behind its thresholds.

    python benchmarks/trust.py PHOTOS --limit 40

prints the tables of docs/trust.md. An image takes about 1,500 passes.
"""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

import fusioncam as fc
from fusioncam.data.image_files import find_images
from fusioncam.functional.similarity import spearman
from fusioncam.trust.card import LEVELS
from fusioncam.trust.levels import DISSIMILAR, QUESTIONS, SIMILAR

METHODS = ("fusion-cam(budget=64)", "grad-cam", "center", "random")


def measured(images: list[Path], methods: list[str]) -> dict[str, list[fc.Explanation]]:
    """Return the checked explanations of every image by every method."""
    found: dict[str, list[fc.Explanation]] = {method: [] for method in methods}
    for one in fc.explain_each(images, methods=methods, check=True):
        found[one.method].append(one)
        print(".", end="", flush=True)
    print()
    return found


def levels(found: dict[str, list[fc.Explanation]]) -> list[str]:
    """Return a table row per question, and one overall: counts of good / mixed / poor (/ unknown)."""
    rows = ["| question | " + " | ".join(found) + " |", "| --- |" + " --- |" * len(found)]
    for name in (*QUESTIONS, "all in all"):
        cells = []
        for explanations in found.values():
            counts = Counter(
                {one.name: one.level for one in each.card.questions}.get(name, each.card.level)
                for each in explanations
            )
            cells.append(" / ".join(str(counts[level]) for level in LEVELS))
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def alike(explanations: list[fc.Explanation]) -> str:
    """Describe the similarity of heatmaps of different images, from which ``SIMILAR`` and ``DISSIMILAR`` are set."""
    maps = [torch.nn.functional.avg_pool2d(one.heatmap[None], 4) for one in explanations]
    pairs = np.array([spearman(first, second).item() for first, second in combinations(maps, 2)])
    quantiles = ", ".join(f"{np.quantile(pairs, q):.2f} at {q:.0%}" for q in (0.05, 0.25, 0.5, 0.75, 0.95))
    above, below = np.mean(pairs > SIMILAR), np.mean(pairs < DISSIMILAR)
    return f"{len(pairs)} pairs: {quantiles}; {above:.1%} above {SIMILAR}, {below:.1%} below {DISSIMILAR}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos")
    parser.add_argument("--limit", type=int, default=40, help="number of images, evenly spaced")
    parser.add_argument("-m", "--method", action="append", help=f"default: {', '.join(METHODS)}")
    arguments = parser.parse_args()
    images = sorted(one for one in find_images([arguments.photos]) if isinstance(one, Path))
    step = max(1, len(images) // arguments.limit)
    found = measured(images[::step][: arguments.limit], arguments.method or list(METHODS))
    print(*levels(found), sep="\n")
    for method, explanations in found.items():
        if len(explanations) > 1 and method not in ("center", "random"):
            print(f"{method}, maps of different images: {alike(explanations)}")


if __name__ == "__main__":
    main()
