"""Localization metrics with loops over pixels, for one heatmap (H, W) as nested lists."""

from __future__ import annotations

import math
from itertools import product


def pixels_of(H):
    return [(i, j) for i in range(len(H)) for j in range(len(H[0]))]


def pointing_game(H, inside, tau):
    """The fraction of the maxima with a pixel of the object within a distance of tau (Zhang et al. 2018)."""
    top = max(H[i][j] for i, j in pixels_of(H))
    maxima = [(i, j) for i, j in pixels_of(H) if H[i][j] == top]
    target = [(i, j) for i, j in pixels_of(H) if inside[i][j]]
    hits = [pixel for pixel in maxima if any(math.dist(pixel, other) <= tau for other in target)]
    return len(hits) / len(maxima)


def energy(H, inside):
    """The sum over the object divided by the total (Wang et al. 2020)."""
    total = sum(max(0, H[i][j]) for i, j in pixels_of(H))
    return sum(max(0, H[i][j]) for i, j in pixels_of(H) if inside[i][j]) / total if total else math.nan


def iou(first, second):
    return len(first & second) / len(first | second) if first | second else 0


def iou_at(H, inside, tau):
    top = max(H[i][j] for i, j in pixels_of(H))
    foreground = {(i, j) for i, j in pixels_of(H) if H[i][j] > 0 and H[i][j] >= tau * top}
    return iou(foreground, {(i, j) for i, j in pixels_of(H) if inside[i][j]})


def best_iou(H, inside):
    target = {(i, j) for i, j in pixels_of(H) if inside[i][j]}
    values = {H[i][j] for i, j in pixels_of(H) if H[i][j] > 0}
    return max((iou({(i, j) for i, j in pixels_of(H) if H[i][j] >= v}, target) for v in values), default=0)


def components(foreground):
    """The connected components of a set of pixels of any dimension, by flood fill; corners are connected."""
    left, found = set(foreground), []
    while left:
        stack = [min(left)]
        component = set()
        while stack:
            pixel = stack.pop()
            if pixel in left:
                left.remove(pixel)
                component.add(pixel)
                steps = product((-1, 0, 1), repeat=len(pixel))
                stack += [tuple(i + a for i, a in zip(pixel, step, strict=True)) for step in steps]
        found.append(component)
    return found


def box_of(component):
    rows, columns = zip(*component, strict=True)
    return min(columns), min(rows), max(columns) + 1, max(rows) + 1


def iou_of_boxes(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b)]
    return width * height / (sum(areas) - width * height)


def box_iou(H, boxes, tau, which):
    """The best IoU of a box around a component of {H >= tau max H} with a true box (Choe et al. 2020)."""
    top = max(H[i][j] for i, j in pixels_of(H))
    found = components({(i, j) for i, j in pixels_of(H) if H[i][j] > 0 and H[i][j] >= tau * top})
    if which == "largest" and found:
        size = max(map(len, found))
        found = [next(component for component in sorted(found, key=min) if len(component) == size)]
    return max((iou_of_boxes(box_of(component), box) for component in found for box in boxes), default=0)


def spearman(first, second):
    """The correlation of mid-ranks."""
    a, b = ([sum(w < v for w in x) + (sum(w == v for w in x) - 1) / 2 for v in x] for x in (first, second))
    a, b = ([v - sum(x) / len(x) for v in x] for x in (a, b))
    norm = math.sqrt(sum(v * v for v in a) * sum(v * v for v in b))
    return sum(v * w for v, w in zip(a, b, strict=True)) / norm if norm else math.nan
