"""Localization metrics with plain loops over pixels, for one heatmap (H, W) as nested lists."""

from __future__ import annotations

import math
from itertools import product


def pixels_of(map_):
    return [(i, j) for i in range(len(map_)) for j in range(len(map_[0]))]


def pointing_game(H, inside, tau):
    """The share of the maxima that have a pixel of the object within tau (Zhang et al. 2018)."""
    top = max(H[i][j] for i, j in pixels_of(H))
    maxima = [(i, j) for i, j in pixels_of(H) if H[i][j] == top]
    thing = [(i, j) for i, j in pixels_of(H) if inside[i][j]]
    hits = [one for one in maxima if any(math.dist(one, other) <= tau for other in thing)]
    return len(hits) / len(maxima)


def energy(H, inside):
    """The sum over the object by the whole sum (Wang et al. 2020)."""
    all_ = sum(max(0, H[i][j]) for i, j in pixels_of(H))
    return sum(max(0, H[i][j]) for i, j in pixels_of(H) if inside[i][j]) / all_ if all_ else math.nan


def iou(first, second):
    return len(first & second) / len(first | second) if first | second else 0


def iou_at(H, inside, tau):
    top = max(H[i][j] for i, j in pixels_of(H))
    shown = {(i, j) for i, j in pixels_of(H) if H[i][j] > 0 and H[i][j] >= tau * top}
    return iou(shown, {(i, j) for i, j in pixels_of(H) if inside[i][j]})


def best_iou(H, inside):
    thing = {(i, j) for i, j in pixels_of(H) if inside[i][j]}
    values = {H[i][j] for i, j in pixels_of(H) if H[i][j] > 0}
    return max((iou({(i, j) for i, j in pixels_of(H) if H[i][j] >= v}, thing) for v in values), default=0)


def pieces(shown):
    """The connected pieces of a set of pixels of any number of sides, corners touch, by flooding."""
    left, found = set(shown), []
    while left:
        edge = [min(left)]
        piece = set()
        while edge:
            pixel = edge.pop()
            if pixel in left:
                left.remove(pixel)
                piece.add(pixel)
                around = product((-1, 0, 1), repeat=len(pixel))
                edge += [tuple(i + a for i, a in zip(pixel, step, strict=True)) for step in around]
        found.append(piece)
    return found


def box_of(piece):
    rows, columns = zip(*piece, strict=True)
    return min(columns), min(rows), max(columns) + 1, max(rows) + 1


def iou_of_boxes(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b)]
    return width * height / (sum(areas) - width * height)


def box_iou(H, boxes, tau, which):
    """The best IoU of a box around a piece of {H >= tau max H} with a true box (Choe et al. 2020)."""
    top = max(H[i][j] for i, j in pixels_of(H))
    found = pieces({(i, j) for i, j in pixels_of(H) if H[i][j] > 0 and H[i][j] >= tau * top})
    if which == "largest" and found:
        size = max(map(len, found))
        found = [next(one for one in sorted(found, key=min) if len(one) == size)]
    return max((iou_of_boxes(box_of(one), box) for one in found for box in boxes), default=0)


def spearman(first, second):
    """The correlation of mid-ranks."""
    a, b = ([sum(w < v for w in x) + (sum(w == v for w in x) - 1) / 2 for v in x] for x in (first, second))
    a, b = ([v - sum(x) / len(x) for v in x] for x in (a, b))
    norm = math.sqrt(sum(v * v for v in a) * sum(v * v for v in b))
    return sum(v * w for v, w in zip(a, b, strict=True)) / norm if norm else math.nan
