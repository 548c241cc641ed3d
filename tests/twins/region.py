"""Score-CAM (arXiv 1910.01279, algorithm 1), in the variants of its public codes, and its relatives."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from .common import logit, maps_and_gradients, percentile, probability, relu, s, up


def score_cam(toy, x: Tensor, c: int) -> Tensor:
    """Masks normalised after upsampling, logits, a softmax over the channels, raw channels."""
    A, _ = maps_and_gradients(toy, x, c)
    size = x.shape[1:]
    active = [k for k in range(len(A)) if A[k].min() != A[k].max()]
    S = {k: logit(toy, x * s(up(A[k], size)), c) for k in active}
    Z = sum(math.exp(S[k] - max(S.values())) for k in active)
    L = torch.zeros(size, dtype=x.dtype)
    for k in active:
        L = L + math.exp(S[k] - max(S.values())) / Z * up(A[k], size)
    return s(relu(L))


def score_cam_xplaincam(toy, x: Tensor, c: int) -> Tensor:
    """Masks normalised before upsampling, probabilities without softmax, normalised channels."""
    A, _ = maps_and_gradients(toy, x, c)
    size = x.shape[1:]
    L = torch.zeros(size, dtype=x.dtype)
    for k in range(len(A)):
        M = up(s(A[k]), size)
        L = L + probability(toy, x * M, c) * M
    return s(relu(L))


def score_cam_cic(toy, x: Tensor, c: int) -> Tensor:
    """Score-CAM (arXiv 1910.01279, channel-wise increase of confidence): alpha is the increase itself."""
    A, _ = maps_and_gradients(toy, x, c)
    size = x.shape[1:]
    f_X_b = probability(toy, torch.zeros_like(x), c)
    L = torch.zeros(size, dtype=x.dtype)
    for k in active(A):
        alpha = probability(toy, x * s(up(A[k], size)), c) - f_X_b
        L = L + alpha * up(A[k], size)
    return s(relu(L))


def faster_score_cam(toy, x: Tensor, c: int, channels: int = 10) -> Tensor:
    """Score-CAM of only the channels with the largest standard deviation (no paper; from a public code)."""
    A, _ = maps_and_gradients(toy, x, c)
    size = x.shape[1:]
    chosen = sorted(active(A), key=lambda k: (-float(A[k].std(correction=0)), k))[:channels]
    alpha = softmax({k: logit(toy, x * s(up(A[k], size)), c) for k in chosen})
    return weighted(A, alpha, size)


def ss_cam(toy, x: Tensor, c: int, samples: int = 35, std: float = 2.0, noise: str = "maps", seed: int = 0) -> Tensor:
    """SS-CAM (arXiv 2006.14255): scores averaged over noise on the mask (1) or on the masked input (2)."""
    A, _ = maps_and_gradients(toy, x, c)
    size = x.shape[1:]
    shape = size if noise == "maps" else x.shape
    delta = std * normal((samples, *shape), seed).to(x.dtype)
    S = {}
    for k in active(A):
        H = s(up(A[k], size))
        total = 0.0
        for i in range(samples):
            total += logit(toy, x * (H + delta[i]) if noise == "maps" else x * H + delta[i], c)
        S[k] = total / samples
    return weighted(A, softmax(S), size)


def is_cam(toy, x: Tensor, c: int, samples: int = 10, path: str = "cumulative") -> Tensor:
    """IS-CAM (arXiv 2010.03023): scores averaged along a path of growing masks."""
    A, _ = maps_and_gradients(toy, x, c)
    size = x.shape[1:]
    S = {}
    for k in active(A):
        H = s(up(A[k], size))
        total, coefficient = 0.0, 0.0
        for i in range(1, samples + 1):
            coefficient = coefficient + i / samples if path == "cumulative" else i / samples
            total += logit(toy, x * coefficient * H, c)
        S[k] = total / samples
    return weighted(A, softmax(S), size)


def ablation_cam(toy, x: Tensor, c: int) -> Tensor:
    """Ablation-CAM (Desai and Ramaswamy, WACV 2020) without the division by y, which matters only for negative y."""
    A, _ = maps_and_gradients(toy, x, c)
    y = head_scores(toy, A)[c]
    L = torch.zeros_like(A[0])
    for k in range(len(A)):
        without = A.clone()
        without[k] = 0
        L = L + (y - head_scores(toy, without)[c]) * A[k]
    return s(up(relu(L), x.shape[1:]))


def group_cam(
    toy,
    x: Tensor,
    c: int,
    groups: int = 32,
    theta: float = 70,
    cluster: str = "chunks",
    fill: str = "blur",
    maps: str = "normalised",
    clamp: bool = False,
    sigma: float = 50.0,
) -> Tensor:
    """Group-CAM (arXiv 2103.13859): the gains of groups of gradient-weighted channels."""
    A, dA = maps_and_gradients(toy, x, c)
    size = x.shape[1:]
    W = [dA[k].mean() * A[k] for k in range(len(A))]
    members = chunks(len(A), groups) if cluster == "chunks" else k_means(W, groups)
    background = blur(x, sigma) if fill == "blur" else torch.zeros_like(x)
    p_0 = probability(toy, background, c)
    L = torch.zeros(size, dtype=x.dtype)
    for group in members:
        M = relu(sum(W[k] for k in group))
        if theta > 0:
            tau = percentile(M, theta)
            M = torch.tensor([m if m > tau else 0.0 for m in M.flatten().tolist()], dtype=x.dtype).reshape(M.shape)
        M = up(M, size)
        if M.min() == M.max():
            continue
        alpha = probability(toy, x * s(M) + background * (1 - s(M)), c) - p_0
        if clamp:
            alpha = max(alpha, 0.0)
        L = L + alpha * (s(M) if maps == "normalised" else M)
    return s(relu(L))


def recipro_cam(toy, x: Tensor, c: int, spread: str = "point") -> Tensor:
    """Recipro-CAM (arXiv 2209.14074): the probability that each location of the maps yields alone."""
    A, _ = maps_and_gradients(toy, x, c)
    sides = A.shape[1:]
    S = torch.zeros(sides, dtype=x.dtype)
    for location in itertools.product(*map(range, sides)):
        F_k = torch.zeros_like(A)
        if spread == "point":
            F_k[(slice(None), *location)] = A[(slice(None), *location)]
        else:
            for step in itertools.product((-1, 0, 1), repeat=len(sides)):
                neighbour = tuple(p + d for p, d in zip(location, step, strict=True))
                if all(0 <= p < side for p, side in zip(neighbour, sides, strict=True)):
                    kernel = math.prod(0.5 if d == 0 else 0.25 for d in step)
                    F_k[(slice(None), *neighbour)] = kernel * A[(slice(None), *location)]
        y = head_scores(toy, F_k)
        S[location] = math.exp(y[c] - max(y)) / sum(math.exp(logit - max(y)) for logit in y)
    return s(up(S, x.shape[1:]))


def opti_cam(toy, x: Tensor, c: int, steps: int = 100, rate: float = 0.1) -> Tensor:
    """Opti-CAM (arXiv 2301.07002): Adam, written out, on u of ``max_u g_c(f(x * n(up(softmax(u) . A))))``."""
    A, _ = maps_and_gradients(toy, x, c)
    A = relu(A)
    size = x.shape[1:]
    u = torch.zeros(len(A), dtype=x.dtype)
    m, v = torch.zeros_like(u), torch.zeros_like(u)
    for step in range(1, steps + 1):
        u.requires_grad_()
        S = optimised_map(A, u, size)
        if S.min() == S.max():
            break
        mask = (S - S.min()) / (S.max() - S.min())
        (g,) = torch.autograd.grad(-toy((x * mask)[None])[0, c], u)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.999**step)
        u = u.detach() - rate * m_hat / (v_hat.sqrt() + 1e-8)
    return s(optimised_map(A, u.detach(), size))


def poly_cam(toy, x: Tensor, c: int, layers: tuple[str, ...] = ("features",), sign: str = "+-") -> Tensor:
    """Poly-CAM (arXiv 2204.13359): maps of earlier layers, locally normalised, times the map of the later ones."""
    size = x.shape[1:]
    p = probability(toy, x, c)
    P = None
    for layer in reversed(layers):
        A = maps_at(toy, x, layer)
        C = torch.zeros_like(A[0])
        for k in active(A):
            H = up(s(A[k]), size)
            increase = probability(toy, x * H, c) if "+" in sign else 0.0
            decrease = p - probability(toy, x * (1 - H), c) if "-" in sign else 0.0
            C = C + max(increase + decrease, 0.0) * A[k]
        C = relu(C)
        if P is None:
            P = C
        else:
            local_mean = up(up(C, P.shape), C.shape)
            ratio = torch.where(local_mean > 1e-12, C / local_mean.clip(min=1e-12), torch.zeros_like(C))
            P = ratio * up(P, C.shape)
    return s(up(P, size))


def occlusion(toy, x: Tensor, c: int, cells: int = 8, overlap: int = 2) -> Tensor:
    """Occlusion (arXiv 1311.2901): the drop in probability while a window is grey, averaged over windows."""
    size = x.shape[1:]
    window = [math.ceil(side / cells) for side in size]
    step = [math.ceil(w / overlap) for w in window]
    starts = []
    for side, w, d in zip(size, window, step, strict=True):
        along = [0]
        while along[-1] + w < side:
            along.append(along[-1] + d)
        starts.append(along)
    drops, counts = torch.zeros(size, dtype=x.dtype), torch.zeros(size, dtype=x.dtype)
    for corner in itertools.product(*starts):
        inside = tuple(slice(start, start + w) for start, w in zip(corner, window, strict=True))
        grey = x.clone()
        grey[(slice(None), *inside)] = 0
        drops[inside] += probability(toy, x, c) - probability(toy, grey, c)
        counts[inside] += 1
    return s(drops / counts)


def two_sided_occlusion(
    toy, x: Tensor, c: int, shown: tuple[float, int] = (0.3, 6), hidden: tuple[float, int] = (0.25, 5)
) -> Tensor:
    """Ours: s n + (s + n) / 10 of what a window shows alone and of what is missed without it."""
    size = x.shape[1:]

    def mean(share: float, positions: int, value) -> Tensor:
        total, counts = torch.zeros(size, dtype=x.dtype), torch.zeros(size, dtype=x.dtype)
        window, starts = [], []
        for side in size:
            room = side - math.ceil(share * side)
            steps = min(positions - 1, room)
            step = room // steps if steps else 0
            window.append(side - steps * step)
            starts.append([step * k for k in range(steps + 1)])
        for corner in itertools.product(*starts):
            inside = tuple(slice(start, start + w) for start, w in zip(corner, window, strict=True))
            total[inside] += value((slice(None), *inside))
            counts[inside] += 1
        return s(total / counts)

    def alone(inside) -> float:
        grey = torch.zeros_like(x)
        grey[inside] = x[inside]
        return probability(toy, grey, c)

    def missed(inside) -> float:
        grey = x.clone()
        grey[inside] = 0
        return probability(toy, x, c) - probability(toy, grey, c)

    sufficient, necessary = mean(*shown, alone), mean(*hidden, missed)
    return s(sufficient * necessary + (sufficient + necessary) / 10)


def hsic(toy, x: Tensor, c: int, masks: int = 500, cells: int = 8, seed: int = 0) -> Tensor:
    """HSIC attribution (arXiv 2206.06219): tr(K H L H) / M^2 of each cell's state and the probability."""
    size = x.shape[1:]
    d = cells ** len(size)
    Z = [[float(v < 0.5) for v in z] for z in torch.quasirandom.SobolEngine(d, True, seed).draw(masks).tolist()]
    Y = [probability(toy, x * blocks(z, cells, x), c) for z in Z]
    if max(Y) - min(Y) <= 1e-15 * max(Y):
        return torch.zeros(size, dtype=x.dtype)
    sigma = sorted(Y)[(masks - 1) // 2]
    # without 1, which H removes and which would round small differences
    L = torch.tensor([[math.expm1(-(((a - b) / sigma) ** 2) / 2) for b in Y] for a in Y], dtype=x.dtype)
    H = torch.eye(masks, dtype=x.dtype) - 1 / masks
    S = []
    for i in range(d):
        K = torch.tensor([[float(a[i] == b[i]) for b in Z] for a in Z], dtype=x.dtype)
        S.append(torch.trace(K @ H @ L @ H) / masks**2)
    return s(up(torch.stack(S).reshape([cells] * len(size)), size))


def sobol(toy, x: Tensor, c: int, cells: int = 8, designs: int = 32, seed: int = 0) -> Tensor:
    """Sobol attribution (arXiv 2111.04138): the estimator of Jansen, for each cell."""
    size = x.shape[1:]
    d = cells ** len(size)
    AB = torch.quasirandom.SobolEngine(2 * d, True, seed).draw(designs).tolist()

    def f(z: list[float]) -> float:
        return probability(toy, x * blocks(z, cells, x), c)

    A = [f(row[:d]) for row in AB]
    C = [[f([*row[:i], row[d + i], *row[i + 1 : d]]) for row in AB] for i in range(d)]
    every = [*A, *itertools.chain(*C)]
    if max(every) - min(every) <= 1e-15 * max(every):
        return torch.zeros(size, dtype=x.dtype)
    mean = sum(every) / len(every)
    V = sum((y - mean) ** 2 for y in every) / len(every)
    S_T = [sum((a - b) ** 2 for a, b in zip(A, C_i, strict=True)) / (2 * designs * V) for C_i in C]
    return s(up(torch.tensor(S_T, dtype=x.dtype).reshape([cells] * len(size)), size))


def blocks(z: list[float], cells: int, x: Tensor) -> Tensor:
    """Return the mask of a grid of values: each pixel has the value of its cell."""
    M = torch.zeros(x.shape[1:], dtype=x.dtype)
    for pixel in itertools.product(*map(range, M.shape)):
        cell = 0
        for p, side in zip(pixel, M.shape, strict=True):
            cell = cells * cell + p * cells // side
        M[pixel] = z[cell]
    return M


def rise(toy, x: Tensor, c: int, masks: int = 4000, cells: int = 7, keep: float = 0.5, seed: int = 0) -> Tensor:
    """RISE (arXiv 1806.07421): random grids, upsampled and shifted, weighted by their scores."""
    S = torch.zeros(x.shape[1:], dtype=x.dtype)
    for M in rise_masks(x, masks, cells, keep, seed):
        S = S + probability(toy, x * M, c) / (masks * keep) * M
    return s(S)


def rise_masks(x: Tensor, masks: int, cells: int, keep: float, seed: int) -> Iterator[Tensor]:
    size = x.shape[1:]
    draw = torch.Generator().manual_seed(seed)
    grids = torch.rand((masks, *[cells] * len(size)), generator=draw) < keep
    shifts = torch.rand((masks, len(size)), generator=draw)
    C = [math.ceil(side / cells) for side in size]
    for grid, shift in zip(grids, shifts, strict=True):
        M = up(grid.to(x.dtype), tuple((cells + 1) * cell for cell in C))
        for axis, (cell, side) in enumerate(zip(C, size, strict=True)):
            M = M.narrow(axis, int(shift[axis] * cell), side)
        yield M


def active(A: Tensor) -> list[int]:
    return [k for k in range(len(A)) if A[k].min() != A[k].max()]


def softmax(S: dict[int, float]) -> dict[int, float]:
    Z = sum(math.exp(y - max(S.values())) for y in S.values())
    return {k: math.exp(y - max(S.values())) / Z for k, y in S.items()}


def weighted(A: Tensor, alpha: dict[int, float], size: tuple[int, ...]) -> Tensor:
    L = torch.zeros(size, dtype=A.dtype)
    for k, weight in alpha.items():
        L = L + weight * up(A[k], size)
    return s(relu(L))


def normal(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def head_scores(toy, A: Tensor) -> list[float]:
    with torch.no_grad():
        return toy.head(A[None].clone())[0].tolist()


def maps_at(toy, x: Tensor, layer: str) -> Tensor:
    """Return A of any module of the toy."""
    outputs = []
    handle = toy.get_submodule(layer).register_forward_hook(lambda _, __, out: outputs.append(out.detach().clone()))
    logit(toy, x, 0)
    handle.remove()
    return outputs[0][0]


def optimised_map(A: Tensor, u: Tensor, size: tuple[int, ...]) -> Tensor:
    alpha = u.exp() / u.exp().sum()
    return up(sum(alpha[k] * A[k] for k in range(len(A))), size)


def chunks(channels: int, groups: int) -> list[list[int]]:
    """Consecutive channels of equal number, the last chunk shorter; fewer than ``groups`` if channels run out."""
    length = math.ceil(channels / groups)
    return [list(range(start, min(start + length, channels))) for start in range(0, channels, length)]


def k_means(W: list[Tensor], groups: int) -> list[list[int]]:
    """Iterate Lloyd's algorithm until no label changes, at most 100 times; an empty group keeps its centre."""
    centres = initial_centres(W, groups)
    label: list[int] = []
    for _ in range(100):
        before, label = label, [nearest(channel, centres) for channel in W]
        if label == before:
            break
        for j in range(len(centres)):
            members = [channel for channel, i in zip(W, label, strict=True) if i == j]
            centres[j] = sum(members) / len(members) if members else centres[j]
    return [[k for k, i in enumerate(label) if i == j] for j in range(len(centres)) if j in label]


def initial_centres(W: list[Tensor], groups: int) -> list[Tensor]:
    """The largest channel, then repeatedly the one farthest from all centres so far; of equal ones the first."""
    sizes = [float((channel**2).sum()) for channel in W]
    centres = [W[sizes.index(max(sizes))]]
    while len(centres) < groups:
        distances = [min(distance(channel, centre) for centre in centres) for channel in W]
        if max(distances) == 0:
            break
        centres.append(W[distances.index(max(distances))])
    return centres


def nearest(channel: Tensor, centres: list[Tensor]) -> int:
    distances = [distance(channel, centre) for centre in centres]
    return distances.index(min(distances))


def distance(a: Tensor, b: Tensor) -> float:
    return float(((a - b) ** 2).sum())


def blur(x: Tensor, sigma: float = 50.0, size: int = 51) -> Tensor:
    """Blur by a Gaussian with odd sides, at most as wide as the image; borders are mirrored without repetition."""
    for axis in range(1, x.dim()):
        side = x.shape[axis]
        width = min(size, side if side % 2 else side - 1)
        taps = [math.exp(-(((i - width // 2) / sigma) ** 2) / 2) for i in range(width)]
        out = torch.zeros_like(x)
        for location in range(side):
            for i, tap in enumerate(taps):
                at = abs(location + i - width // 2)
                at = 2 * (side - 1) - at if at >= side else at
                out.select(axis, location).add_(x.select(axis, at), alpha=tap / sum(taps))
        x = out
    return x


def d_rise(
    detect, x: Tensor, box: Tensor, label: int, masks: int, cells: int = 16, keep: float = 0.5, seed: int = 0
) -> Tensor:
    """D-RISE (arXiv 2006.03204, eq. 1-4): random masks weighted by the most similar prediction of the masked image.

    ``detect`` returns boxes ``(P, 4)`` and class probabilities ``(P, classes)`` of an image. The target's class
    probabilities are those of the prediction with the highest product of score and IoU with the box.
    """
    L, P = detect(x)
    P_t = P[max(range(len(L)), key=lambda j: float(P[j, label]) * iou(box, L[j]))]

    def similarity(image: Tensor) -> float:
        boxes, classes = detect(image)
        cosines = [float(P_t @ p / (P_t.norm() * p.norm())) for p in classes]
        return max(
            iou(box, b) * cosine * float(p.max()) for b, cosine, p in zip(boxes, cosines, classes, strict=True)
        )

    S = torch.zeros(x.shape[1:], dtype=x.dtype)
    for M in rise_masks(x, masks, cells, keep, seed):
        S = S + similarity(x * M) * M
    return s(S)


def iou(a: Tensor, b: Tensor) -> float:
    sides = [min(float(a[axis + 2]), float(b[axis + 2])) - max(float(a[axis]), float(b[axis])) for axis in (0, 1)]
    inside = max(sides[0], 0) * max(sides[1], 0)
    areas = [float((c[2] - c[0]) * (c[3] - c[1])) for c in (a, b)]
    return inside / (sum(areas) - inside)
