"""Groups of similar heatmaps by spectral clustering, as in SpRAy (Lapuschkin et al. 2019, arXiv 1902.10178).

SpRAy scales heatmaps down, connects each with its most similar ones, and finds the number of groups from the largest
gap between the first eigenvalues of the graph's Laplacian.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusioncam.audit.heat import Grid
from fusioncam.utils.optional import extra

Labels = NDArray[np.int64]

MOST_CLUSTERS = 6
SMALLEST = 4  # images of a cluster, on average, before there is another one
_NEIGHBOURS = 5
_GAP = 0.1  # between eigenvalues, which are between 0 and 2; smaller gaps separate no groups
_DIRECT = 1000  # of more heatmaps, the others join the nearest cluster of so many


def heat_clusters(grids: Grid) -> Labels:
    """Return the cluster of each grid ``(N, g, g)``, ``(N,)``; cluster 0 is the largest.

    Raises :class:`MissingExtraError` without scikit-learn.
    """
    features = _features(grids)
    if len(features) < 2 * SMALLEST:
        return np.zeros(len(features), np.int64)
    chosen = np.linspace(0, len(features) - 1, min(len(features), _DIRECT)).astype(int)
    labels = _spectral_clusters(features[chosen])
    if len(chosen) < len(features):
        labels = _nearest(features, features[chosen], labels)
    return _by_size(labels)


def _features(grids: Grid) -> Grid:
    """Return the grids as unit vectors ``(N, g * g)``."""
    flat = grids.reshape(len(grids), -1)
    sizes = np.linalg.norm(flat, axis=1, keepdims=True)
    unit: Grid = flat / np.where(sizes > 0, sizes, 1)
    return unit


def _spectral_clusters(features: Grid) -> Labels:
    neighbours = extra("audit", "sklearn.neighbors", "audits")
    count = min(_NEIGHBOURS, len(features) - 1)
    graph = neighbours.kneighbors_graph(features, count).toarray()
    values, vectors = np.linalg.eigh(_laplacian(np.maximum(graph, graph.T)))
    clusters = clusters_by_gap(values[: min(MOST_CLUSTERS, len(features) // SMALLEST) + 1])
    if clusters == 1:
        return np.zeros(len(features), np.int64)
    embedding = vectors[:, :clusters]
    sizes = np.linalg.norm(embedding, axis=1, keepdims=True)
    kmeans = extra("audit", "sklearn.cluster", "audits").KMeans(clusters, n_init=10, random_state=0)
    return kmeans.fit_predict(embedding / np.where(sizes > 0, sizes, 1)).astype(np.int64)  # type: ignore[no-any-return]


def _laplacian(graph: Grid) -> Grid:
    """Return the normalised Laplacian of a graph in which every node has a neighbour."""
    scale = 1 / np.sqrt(graph.sum(1))
    laplacian: Grid = np.eye(len(graph)) - scale[:, None] * graph * scale
    return laplacian


def clusters_by_gap(eigenvalues: Grid) -> int:
    """Return the number of clusters before the largest gap between ascending eigenvalues, 1 if no gap is large.

    >>> clusters_by_gap(np.array([0.0, 0.01, 0.5, 0.6])), clusters_by_gap(np.array([0.0, 0.05, 0.1]))
    (2, 1)
    """
    gaps = np.diff(eigenvalues)
    return int(gaps.argmax()) + 1 if len(gaps) and gaps.max() > _GAP else 1


def _nearest(features: Grid, known: Grid, labels: Labels) -> Labels:
    means = np.stack([known[labels == label].mean(0) for label in range(labels.max() + 1)])
    nearest: Labels = (features @ means.T - (means * means).sum(1) / 2).argmax(1)
    return nearest


def _by_size(labels: Labels) -> Labels:
    """Return the labels numbered by the size of their cluster, the largest first."""
    names, counts = np.unique(labels, return_counts=True)
    order = names[np.argsort(-counts, kind="stable")]
    renamed: Labels = np.argsort(order)[np.searchsorted(names, labels)].astype(np.int64)
    return renamed
