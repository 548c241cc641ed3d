"""Grad-CAM (arXiv 1610.02391, eq. 1 and 2), its variants, and the gradient map of Union-CAM."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .common import maps_and_gradients, percentile, relu, s, up


def grad_cam(toy, x: Tensor, c: int) -> Tensor:
    A, dA = maps_and_gradients(toy, x, c)
    L = torch.zeros_like(A[0])
    for k in range(len(A)):
        Z = dA[k].numel()
        alpha = dA[k].sum() / Z
        L = L + alpha * A[k]
    return s(up(relu(L), x.shape[1:]))


def denoised_grad_cam(toy, x: Tensor, c: int, theta: float = 10) -> Tensor:
    A, dA = maps_and_gradients(toy, x, c)
    L = torch.zeros_like(A[0])
    for k in range(len(A)):
        tau = percentile(dA[k], theta)
        W = torch.tensor([g if g >= tau and g > 0 else 0.0 for g in dA[k].flatten().tolist()], dtype=x.dtype)
        W = W.reshape(dA[k].shape)
        L = L + W / (W.sum() + 1e-8) * A[k]
    return s(up(L, x.shape[1:]))


def cam(toy, x: Tensor, c: int, layer: str = "features") -> Tensor:
    """CAM (arXiv 1512.04150): the class's weights of the linear layer after average pooling; no ReLU."""
    A = maps_and_scores(toy, x, layer)[0].detach()[0]
    w = toy.head[-1].weight[c].detach()
    M = torch.zeros_like(A[0])
    for k in range(len(A)):
        M = M + w[k] * A[k]
    return s(up(M, x.shape[1:]))


def grad_cam_pp(toy, x: Tensor, c: int, layer: str = "features") -> Tensor:
    """Grad-CAM++ (arXiv 1710.11063) for Y = exp(S): derivatives are powers of dS/dA times exp(S), which cancels."""
    A, g = maps_and_derivatives(toy, x, c, layer)
    L = torch.zeros_like(A[0])
    for k in range(len(A)):
        L = L + plus_plus_weight(A[k], g[k], g[k] ** 2, g[k] ** 3) * A[k]
    return s(up(relu(L), x.shape[1:]))


def smooth_grad_cam_pp(
    toy, x: Tensor, c: int, samples: int = 4, std: float = 0.3, seed: int = 0, layer: str = "features"
) -> Tensor:
    """Smooth Grad-CAM++ (arXiv 1908.01224): Grad-CAM++ of derivatives averaged over noise; A is without noise."""
    noise = std * normal((samples, *x.shape), seed, x)
    D = [maps_and_derivatives(toy, x + noise[i], c, layer)[1] for i in range(samples)]
    A = maps_and_scores(toy, x, layer)[0].detach()[0]
    L = torch.zeros_like(A[0])
    for k in range(len(A)):
        D_1 = sum(g[k] for g in D) / samples
        D_2 = sum(g[k] ** 2 for g in D) / samples
        D_3 = sum(g[k] ** 3 for g in D) / samples
        L = L + plus_plus_weight(A[k], D_1, D_2, D_3) * A[k]
    return s(up(relu(L), x.shape[1:]))


def xgrad_cam(toy, x: Tensor, c: int, layer: str = "features") -> Tensor:
    """XGrad-CAM (arXiv 2008.02312): gradients averaged with the activations as weights."""
    A, g = maps_and_derivatives(toy, x, c, layer)
    L = torch.zeros_like(A[0])
    for k in range(len(A)):
        total = A[k].sum()
        alpha = (A[k] / total * g[k]).sum() if total != 0 else 0.0
        L = L + alpha * A[k]
    return s(up(relu(L), x.shape[1:]))


def layer_cam(toy, x: Tensor, c: int, layer: str = "features") -> Tensor:
    """LayerCAM (10.1109/TIP.2021.3089943): each location weighted by its own positive gradient."""
    A, g = maps_and_derivatives(toy, x, c, layer)
    L = torch.zeros_like(A[0])
    for k in range(len(A)):
        L = L + relu(g[k]) * A[k]
    return s(up(relu(L), x.shape[1:]))


def hires_cam(toy, x: Tensor, c: int, layer: str = "features") -> Tensor:
    """HiResCAM (arXiv 2011.08891): each location weighted by its own gradient."""
    A, g = maps_and_derivatives(toy, x, c, layer)
    L = torch.zeros_like(A[0])
    for k in range(len(A)):
        L = L + g[k] * A[k]
    return s(up(relu(L), x.shape[1:]))


def elementwise_grad_cam(toy, x: Tensor, c: int, layer: str = "features") -> Tensor:
    """HiResCAM with the ReLU inside the sum (no paper; from a public code)."""
    A, g = maps_and_derivatives(toy, x, c, layer)
    L = torch.zeros_like(A[0])
    for k in range(len(A)):
        L = L + relu(g[k] * A[k])
    return s(up(L, x.shape[1:]))


def eigen_cam(toy, x: Tensor, c: int, layer: str = "features") -> Tensor:
    """Eigen-CAM (arXiv 2008.00299): O = U S V^T of the maps, locations x channels, not centred; the map is O v_1."""
    A = maps_and_scores(toy, x, layer)[0].detach()[0]
    L = first_component(A)
    return s(up(relu(-L if L.sum() < 0 else L), x.shape[1:]))


def eigen_grad_cam(toy, x: Tensor, c: int, layer: str = "features") -> Tensor:
    """Eigen-CAM of activations times gradients (no paper; from a public code)."""
    A, g = maps_and_derivatives(toy, x, c, layer)
    L = first_component(A * g)
    agreement = (L * (A * g).sum(0)).sum()
    return s(up(relu(-L if agreement < 0 else L), x.shape[1:]))


def seg_eigen_cam(toy, x: Tensor, c: int, layer: str = "features") -> Tensor:
    """Seg-Eigen-CAM (10.3390/app15137562): |g| A centred, its first component, the largest magnitude positive."""
    A, g = maps_and_derivatives(toy, x, c, layer)
    L = first_component(torch.stack([centred(g[k].abs() * A[k]) for k in range(len(A))]))
    return s(up(relu(-L if -L.min() > L.max() else L), x.shape[1:]))


def kpca_cam(toy, x: Tensor, c: int, layer: str = "features") -> Tensor:
    """KPCA-CAM (arXiv 2410.00267): kernel PCA of the locations with the kernel tanh(a b / K + 1)."""
    A = maps_and_scores(toy, x, layer)[0].detach()[0]
    X = torch.stack([centred(A[k]).flatten() for k in range(len(A))], 1)
    P, K = X.shape
    G = torch.tensor([[math.tanh(float(X[i] @ X[j]) / K + 1) for j in range(P)] for i in range(P)], dtype=x.dtype)
    H = torch.eye(P, dtype=x.dtype) - 1 / P
    values, vectors = torch.linalg.eigh(H @ G @ H)
    if values[-1] < 1e-13:
        return torch.zeros(x.shape[1:], dtype=x.dtype)
    L = (values[-1].sqrt() * vectors[:, -1]).reshape(A.shape[1:])
    return s(up(relu(-L if -L.min() > L.max() else L), x.shape[1:]))


def fem(toy, x: Tensor, c: int, k: float = 2, layer: str = "features") -> Tensor:
    """FEM (10.1109/IPTA50016.2020.9286629): binary maps of A >= mu + k sigma, weighted by the mean mu."""
    A = maps_and_scores(toy, x, layer)[0].detach()[0]
    L = torch.zeros_like(A[0])
    for channel in A:
        values = channel.flatten().tolist()
        mu = sum(values) / len(values)
        sigma = math.sqrt(sum((v - mu) ** 2 for v in values) / len(values))
        if max(values) > min(values):
            L = L + mu * (channel >= mu + k * sigma).to(A)
    return s(up(relu(L), x.shape[1:]))


def dff(toy, x: Tensor, c: int, concepts: int = 4, rounds: int = 100, layer: str = "features") -> Tensor:
    """DFF (arXiv 1806.10206): A = W H with non-negative parts, whose maps are weighted by the gradient along W."""
    A, g = maps_and_derivatives(toy, x, c, layer)
    V = torch.stack([A[k].flatten() - min(float(A[k].min()), 0) for k in range(len(A))])
    U, S, Vh = torch.linalg.svd(V, full_matrices=False)
    R = min(concepts, *V.shape)
    least = 0.01 * float(V.mean()) + 1e-12
    W, H = torch.full((len(V), R), least).to(V), torch.full((R, V.shape[1]), least).to(V)
    for r in range(R):
        if S[r] <= 2.3e-16 * max(V.shape) * S[0]:
            continue
        pairs = [(relu(sign * U[:, r]), relu(sign * Vh[r])) for sign in (1, -1)]
        u, v = max(pairs, key=lambda pair: pair[0].norm() * pair[1].norm())
        size = torch.sqrt(S[r] * u.norm() * v.norm())
        W[:, r], H[r] = (size * u / u.norm()).clamp(min=least), (size * v / v.norm()).clamp(min=least)
    for _ in range(rounds):
        H = H * (W.T @ V) / (W.T @ W @ H + 1e-12)
        W = W * (V @ H.T) / (W @ H @ H.T + 1e-12)
    alpha = torch.stack([g[k].mean() for k in range(len(A))])
    L = torch.zeros(V.shape[1], dtype=x.dtype)
    for r in range(R):
        L = L + (alpha * W[:, r]).sum() * H[r]
    return s(up(relu(L.reshape(A.shape[1:])), x.shape[1:]))


def centred(A: Tensor) -> Tensor:
    return torch.zeros_like(A) if A.min() == A.max() else A - A.mean()


def full_gradients(toy, x: Tensor, c: int) -> tuple[Tensor, list[Tensor]]:
    """Return df/dx * x, and for each bias of each layer df/db at each location times b; together they sum to f."""
    probes = []

    def probe(module, _, out):
        b = bias_of(module)
        if b is not None:
            delta = torch.zeros_like(out, requires_grad=True)
            probes.append((delta, b if isinstance(module, nn.Linear) else b.reshape(-1, *[1] * (out.dim() - 2))))
            out = out + delta
        return out

    handles = [module.register_forward_hook(probe) for module in toy.modules()]
    x = x.clone().requires_grad_()
    f = toy(x[None])[0, c]
    for handle in handles:
        handle.remove()
    # a network without biases has only the term of the image
    g_x, *gradients = torch.autograd.grad(f, [x, *(delta for delta, _ in probes)])
    terms = [(g[0] * b).detach() for g, (_, b) in zip(gradients, probes, strict=True)]
    return (g_x * x).detach(), terms


def fullgrad(toy, x: Tensor, c: int, rescale: str = "layer") -> Tensor:
    """FullGrad (arXiv 1905.00780): psi(df/dx * x) + the sum of psi(f^b_c) over channels of layers with locations.

    psi upsamples the absolute value rescaled to [0, 1], over a whole layer as in the authors' code, or over each
    channel, which is another reading of the equation.
    """
    size = x.shape[1:]
    own, terms = full_gradients(toy, x, c)
    S = torch.zeros(size, dtype=x.dtype)
    for term in [own, *(term for term in terms if term.dim() == x.dim())]:
        rescaled = s(term.abs()) if rescale == "layer" else torch.stack([s(channel.abs()) for channel in term])
        for channel in rescaled:
            S = S + up(channel, size)
    return s(S)


def expected_gradients(toy, x: Tensor, c: int, samples: int = 50, seed: int = 0) -> Tensor:
    """Expected Gradients (arXiv 1906.10670): (x - x') times the gradient between noise x' and x, averaged."""
    G = torch.zeros_like(x)
    for i, z in enumerate(normal((samples, *x.shape), seed, x)):
        point = (z + (i + 0.5) / samples * (x - z)).requires_grad_()
        toy(point[None])[0, c].backward()
        G = G + (x - z) * point.grad / samples
    toy.zero_grad()
    return s(G.sum(0).abs())


def winsor_cam(toy, x: Tensor, c: int, theta: float = 90, layer: str = "features") -> Tensor:
    """Winsor-CAM (arXiv 2507.10846): Grad-CAM of all convolutions with importances clipped from above."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    layers = [name for name, module in toy.named_modules() if isinstance(module, kinds)]
    maps, importances = [], []
    for name in layers or [layer]:
        A, g = maps_and_derivatives(toy, x, c, name)
        alpha = [float(g[k].sum()) / g[k].numel() for k in range(len(A))]
        maps.append(up(s(relu(sum(a * A[k] for k, a in enumerate(alpha)))), x.shape[1:]))
        importances.append(sum(alpha) / len(alpha))
    positive = [i for i in importances if i > 0]
    if not positive:
        return torch.zeros(x.shape[1:], dtype=x.dtype)
    t = percentile(torch.tensor(positive, dtype=torch.float64), theta)
    low, high = min(min(positive), t), min(max(positive), t)
    L = torch.zeros(x.shape[1:], dtype=x.dtype)
    for M, i in zip(maps, importances, strict=True):
        if i > 0:
            L = L + (1.0 if low == high else 0.1 + 0.9 * (min(i, t) - low) / (high - low)) * M
    return s(L)


def shapley_cam(toy, x: Tensor, c: int, utility: str = "rest", layer: str = "features") -> Tensor:
    """ShapleyCAM (arXiv 2501.06261): mean of dU/dA - (Hessian of U) A / 2; U is ReST, logit + ln probability."""
    A, Y = maps_and_scores(toy, x, layer)
    U = Y[c] if utility == "logit" else Y[c] + Y[c] - torch.logsumexp(Y, 0)
    (g,) = torch.autograd.grad(U, A, create_graph=True)
    a = A.detach()
    HA = torch.zeros_like(a)
    if g.requires_grad:
        # one row of the Hessian at a time; the fast method computes the product directly
        for i, derivative in enumerate(g.flatten()):
            row = torch.autograd.grad(derivative, A, retain_graph=True, allow_unused=True)[0]
            if row is not None:
                HA.view(-1)[i] = (row * a).sum()
    W = (g.detach() - HA / 2)[0]
    L = torch.zeros_like(a[0, 0])
    for k in range(len(W)):
        L = L + W[k].sum() / W[k].numel() * a[0, k]
    return s(up(relu(L), x.shape[1:]))


def finer_cam(toy, x: Tensor, c: int, references: int = 3, gamma: float = 0.6, layer: str = "features") -> Tensor:
    """Finer-CAM (arXiv 2501.11309): Grad-CAM of y^c - gamma times the mean logit of the most similar classes."""
    A, Y = maps_and_scores(toy, x, layer)
    y = Y.detach().tolist()
    others = sorted((d for d in range(len(y)) if d != c), key=lambda d: (abs(y[d] - y[c]), d))[:references]
    target = Y[c] - gamma * sum(Y[d] for d in others) / len(others)
    (g,) = torch.autograd.grad(target, A)
    L = torch.zeros_like(g[0, 0])
    for k in range(g.shape[1]):
        L = L + g[0, k].sum() / g[0, k].numel() * A.detach()[0, k]
    return s(up(relu(L), x.shape[1:]))


def expected_grad_cam(
    toy, x: Tensor, c: int, samples: int = 50, std: float = 1.0, seed: int = 0, layer: str = "features"
) -> Tensor:
    """Grad-CAM of the expected gradient on paths from noisy empty images to x (after arXiv 2406.01274)."""
    baselines = std * normal((samples, *x.shape), seed, x)
    A = maps_and_scores(toy, x, layer)[0].detach()[0]
    mean = torch.zeros_like(A)
    for i in range(samples):
        alpha = (i + 0.5) / samples
        mean = mean + maps_and_derivatives(toy, baselines[i] + alpha * (x - baselines[i]), c, layer)[1] / samples
    L = torch.zeros_like(A[0])
    for k in range(len(A)):
        L = L + mean[k].sum() / mean[k].numel() * A[k]
    return s(up(relu(L), x.shape[1:]))


def refine_cam(toy, x: Tensor, c: int, layers: tuple[str, ...] = ("features",), method=grad_cam_pp) -> Tensor:
    """RefineCAM (arXiv 2605.14641): the product of the heatmaps of several layers."""
    L = torch.ones(x.shape[1:], dtype=x.dtype)
    for layer in layers:
        L = L * method(toy, x, c, layer=layer)
    return s(L)


def integrated_gradients(toy, x: Tensor, c: int, steps: int = 50, baseline: Tensor | None = None) -> Tensor:
    """Integrated gradients (arXiv 1703.01365) by the midpoint rule from the empty image; |sum over channels|."""
    x_0 = torch.zeros_like(x) if baseline is None else baseline
    total = torch.zeros_like(x)
    for i in range(steps):
        z = (x_0 + (i + 0.5) / steps * (x - x_0)).requires_grad_()
        total = total + torch.autograd.grad(toy(z[None])[0, c], z)[0]
    IG = (x - x_0) * total / steps
    return s(IG.sum(0).abs())


def maps_and_scores(toy, x: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """Return A (1, K, *s) of any module of the toy as a leaf, and the logits that depend on it."""
    outputs = []

    def replace_output(_, __, out):
        outputs.append(out.detach().clone().requires_grad_())
        return outputs[0].clone()  # an in-place activation after the layer must not change the leaf

    handle = toy.get_submodule(layer).register_forward_hook(replace_output)
    Y = toy(x[None])[0]
    handle.remove()
    return outputs[0], Y


def maps_and_derivatives(toy, x: Tensor, c: int, layer: str) -> tuple[Tensor, Tensor]:
    A, Y = maps_and_scores(toy, x, layer)
    (g,) = torch.autograd.grad(Y[c], A)
    return A.detach()[0], g[0]


def plus_plus_weight(A: Tensor, first: Tensor, second: Tensor, third: Tensor) -> float:
    """w = sum of alpha relu(first), alpha = second / (2 second + sum(A) third); 0 where the denominator is 0."""
    w, total = 0.0, float(A.sum())
    for d_1, d_2, d_3 in zip(
        first.flatten().tolist(), second.flatten().tolist(), third.flatten().tolist(), strict=True
    ):
        denominator = 2 * d_2 + total * d_3
        alpha = d_2 / denominator if denominator != 0 else 0.0
        w += alpha * max(d_1, 0.0)
    return w


def first_component(A: Tensor) -> Tensor:
    """Return A v_1 in the shape of the maps, of either sign."""
    matrix = A.flatten(1).T
    _, _, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return (matrix @ Vh[0]).reshape(A.shape[1:])


def bias_of(module) -> Tensor | None:
    """Return the bias of a layer; that of BatchNorm includes its statistics."""
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        scale = 1 / torch.sqrt(module.running_var + module.eps)
        if module.affine:
            return (module.bias - module.running_mean * module.weight * scale).detach()
        return -module.running_mean * scale
    if isinstance(module, nn.Linear | nn.modules.conv._ConvNd) and module.bias is not None:
        return module.bias.detach()
    return None


def normal(shape: tuple[int, ...], seed: int, like: Tensor) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(like.dtype)
