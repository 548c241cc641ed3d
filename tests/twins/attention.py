"""Methods for transformers on a tiny vision transformer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .common import relu, s, up

CLASSES = 3


class Attention(nn.Module):
    """Self-attention with the attribute names of timm."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = num_heads, dim // num_heads
        self.scale = self.head_dim**-0.5
        self.fused_attn = True
        self.qkv = nn.Linear(dim, 3 * dim)
        self.attn_drop = nn.Dropout(0.0)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Attend, with the fused operation or with explicit attention maps."""
        N, T, D = x.shape
        q, k, v = self.qkv(x).reshape(N, T, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused_attn:
            x = F.scaled_dot_product_attention(q, k, v)
        else:
            x = self.attn_drop((q * self.scale @ k.transpose(-2, -1)).softmax(-1)) @ v
        return self.proj(x.transpose(1, 2).reshape(N, T, D))


class Block(nn.Module):
    """A transformer block with pre-normalisation."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dim), Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Add the attention, then the multilayer perceptron."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TinyViT(nn.Module):
    """Vision transformer with two blocks and 4 x 6 patches for images ``(3, 8, 12)``, read by the class token."""

    def __init__(self, dim: int = 8, num_heads: int = 2, depth: int = 2) -> None:
        super().__init__()
        self.num_prefix_tokens = 1
        self.patch_embed = nn.Conv2d(3, dim, 2, stride=2)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.randn(1, 25, dim))
        self.blocks = nn.Sequential(*[Block(dim, num_heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, CLASSES)

    def tokens(self, x: Tensor) -> Tensor:
        """Return the input of the first block, ``(N, T, D)``."""
        patches = self.patch_embed(x).flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token.expand(len(x), -1, -1), patches], 1) + self.pos_embed

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(N, classes)``."""
        return self.head(self.norm(self.blocks(self.tokens(x)))[:, 0])


def problem(images: int = 2, seed: int = 0) -> tuple[TinyViT, Tensor, Tensor]:
    """Return the toy in evaluation mode with inputs and targets of one seed, in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        toy = TinyViT().double().eval()
        x = torch.randn(images, 3, 8, 12, dtype=torch.float64)
        target = torch.randint(CLASSES, (images,))
    return toy, x, target


def legrad(toy: TinyViT, x: Tensor, c: int, blocks: int | None = None, token: str = "mean") -> Tensor:
    """LeGrad (arXiv 2404.03214): positive gradients of each block's own score by its attention maps.

    ``s^l`` is the output of norm and head for the mean token after block l (or its class token). The gradients are
    averaged over heads and queries, the key of the class token is dropped, and the maps of the last ``blocks`` blocks
    are summed.
    """
    grid = toy.patch_embed(x[None]).shape[2:]
    Z = toy.tokens(x[None])[0].detach()
    first = 0 if blocks is None else len(toy.blocks) - blocks
    E = torch.zeros(grid, dtype=x.dtype)
    for depth, block in enumerate(toy.blocks):
        Z, A = run_block(block, Z)
        if depth >= first:
            z = Z.mean(0) if token == "mean" else Z[0]
            (dA,) = torch.autograd.grad(toy.head(toy.norm(z))[c], A)
            n, heads = A.shape[1], A.shape[0]
            relevance = torch.zeros(n, dtype=x.dtype)
            for h in range(heads):
                for query in range(n):
                    relevance = relevance + relu(dA[h, query]) / (heads * n)
            E = E + relevance[toy.num_prefix_tokens :].reshape(grid)
        Z = Z.detach()
    return s(up(E, x.shape[1:]))


def run_block(block: Block, Z: Tensor) -> tuple[Tensor, Tensor]:
    """Return a block's tokens ``(T, D)`` and the attention maps ``(heads, T, T)``, a leaf on which they depend."""
    attn = block.attn
    D, d = Z.shape[1], attn.head_dim
    qkv = attn.qkv(block.norm1(Z)).detach()
    maps = []
    for h in range(attn.num_heads):
        q, k = qkv[:, h * d : (h + 1) * d], qkv[:, D + h * d : D + (h + 1) * d]
        scores = (q @ k.T / d**0.5).exp()
        maps.append(scores / scores.sum(1, keepdim=True))
    A = torch.stack(maps).requires_grad_()
    values = [A[h] @ qkv[:, 2 * D + h * d : 2 * D + (h + 1) * d] for h in range(attn.num_heads)]
    Z = Z + attn.proj(torch.cat(values, 1))
    return Z + block.mlp(block.norm2(Z)), A


def grad_eclip(toy: TinyViT, x: Tensor, c: int) -> Tensor:
    """Grad-ECLIP (arXiv 2502.18816, eq. 6-9): ReLU of the values, weighted for channels and patches.

    The channel weights are the gradient of the score by the output of the last attention at the class token; the
    weight of a patch is the cosine of its key and the class token's query, rescaled to [0, 1].
    """
    grid = toy.patch_embed(x[None]).shape[2:]
    Z = toy.tokens(x[None])[0].detach()
    *before, last = toy.blocks
    for block in before:
        Z = run_block(block, Z)[0].detach()
    D = Z.shape[1]
    q, k, v = last.attn.qkv(last.norm1(Z)).detach().split(D, dim=1)
    d = last.attn.head_dim
    heads = [slice(h * d, (h + 1) * d) for h in range(last.attn.num_heads)]
    o = torch.cat([(q[:, h] @ k[:, h].T / d**0.5).softmax(1) @ v[:, h] for h in heads], 1).requires_grad_()
    z = Z + last.attn.proj(o)
    z = z + last.mlp(last.norm2(z))
    (w,) = torch.autograd.grad(toy.head(toy.norm(z))[0, c], o)
    patches = range(toy.num_prefix_tokens, len(Z))
    cosines = torch.stack([q[0] @ k[i] / (q[0].norm() * k[i].norm()) for i in patches])
    weights = (cosines - cosines.min()) / (cosines.max() - cosines.min())
    E = torch.stack([relu((w[0] * v[i]).sum() * weights[n]) for n, i in enumerate(patches)])
    return s(up(E.reshape(grid), x.shape[1:]))


def forward_with_attention(toy: TinyViT, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the logits and the attention maps ``(heads, T, T)`` of all blocks, on which they depend."""
    Z = toy.tokens(x[None])[0]
    found = []
    for block in toy.blocks:
        attn = block.attn
        q, k, v = attn.qkv(block.norm1(Z)).split(Z.shape[1], dim=1)
        d = attn.head_dim
        heads = [slice(h * d, (h + 1) * d) for h in range(attn.num_heads)]
        A = torch.stack([(q[:, h] @ k[:, h].T / d**0.5).softmax(1) for h in heads])
        Z = Z + attn.proj(torch.cat([A[n] @ v[:, h] for n, h in enumerate(heads)], 1))
        Z = Z + block.mlp(block.norm2(Z))
        found.append(A)
    return toy.head(toy.norm(Z))[0], found


def of_class_token(toy: TinyViT, x: Tensor, R: Tensor) -> Tensor:
    return s(up(R[0, toy.num_prefix_tokens :].reshape(toy.patch_embed(x[None]).shape[2:]), x.shape[1:]))


def rollout(toy: TinyViT, x: Tensor, c: int) -> Tensor:
    """Attention rollout (arXiv 2005.00928): the product of 0.5 W_att + 0.5 I over the blocks, heads averaged."""
    with torch.no_grad():
        _, attentions = forward_with_attention(toy, x)
    T = attentions[0].shape[1]
    R = torch.eye(T, dtype=x.dtype)
    for W in attentions:
        A = torch.zeros(T, T, dtype=x.dtype)
        for i in range(T):
            for j in range(T):
                A[i, j] = 0.5 * sum(float(head[i, j]) for head in W) / len(W) + 0.5 * (i == j)
        R = A @ R
    return of_class_token(toy, x, R)


def relevance(toy: TinyViT, x: Tensor, c: int) -> Tensor:
    """Generic attention relevance (arXiv 2103.15679, eq. 5-6): R = R + E_h((dA * A)^+) R for each block."""
    Y, attentions = forward_with_attention(toy, x)
    gradients = torch.autograd.grad(Y[c], attentions)
    R = torch.eye(attentions[0].shape[1], dtype=x.dtype)
    for A, dA in zip(attentions, gradients, strict=True):
        R = R + sum(relu(dA[h] * A[h]) for h in range(len(A))) / len(A) @ R
    return of_class_token(toy, x, R.detach())
