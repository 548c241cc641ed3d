"""Compare the passes of the paper's methods and four metrics with those of Score-CAM and the same metrics.

    python benchmarks/cost.py [ACTIVE_CHANNELS]

Average drop and increase need one pass, insertion and deletion one per point of their curves. No network runs.
"""

from __future__ import annotations

import sys

from fusioncam.metrics import Deletion, Insertion

METHODS = 8  # of the paper, apart from IS-CAM
OWN = 1.25  # passes of all methods over those of Score-CAM, which they share (docs/results.md)
AIM, TOLERANCE = 2.0, 0.001


def metric_passes(steps, shared=True):
    """Return the passes of the four metrics on one heatmap; both ends of both curves are the same for all heatmaps.

    >>> metric_passes(56, shared=False), metric_passes(56)
    (115, 111)
    """
    return 1 + 2 * (steps - 1 if shared else steps + 1)


def ratio(active, passes):
    """Return the passes of all methods with ``passes`` a heatmap over those of Score-CAM with as many.

    >>> round(ratio(300, 115), 2)
    3.12
    """
    return (OWN * active + METHODS * passes) / (active + passes)


def most_passes(active):
    """Return the number of passes a heatmap from which on the ratio exceeds the aim.

    >>> round(most_passes(300), 1)
    37.5
    """
    return active * (AIM - OWN) / (METHODS - AIM)


def worst_error(left_out, steps):
    """Return the largest error of an area if so many inner points are not computed, whatever the network.

    A probability that is not computed may be anything in [0, 1], and 1/2 is the guess with the smallest largest
    error. An inner point has the weight 1 / steps.

    >>> round(worst_error(1, 56), 4)
    0.0089
    """
    return left_out / steps / 2


def main():
    active = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    assert Insertion().steps == Deletion().steps
    steps = Insertion().steps
    print(
        f"{active} active channels, {steps} steps, {METHODS} methods with four metrics over Score-CAM with its own:"
    )
    print(f"  {ratio(active, metric_passes(steps, shared=False)):.2f} times the passes")
    print(f"  {ratio(active, metric_passes(steps)):.2f} if the ends of curves are computed once an image")
    print(f"  {AIM:g} at {most_passes(active):.0f} passes a heatmap, instead of {metric_passes(steps)}")
    print(f"  one point left out may change an area by {worst_error(1, steps):.4f}, and {TOLERANCE} is allowed")


if __name__ == "__main__":
    main()
