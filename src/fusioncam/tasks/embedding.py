"""Similarity of an embedding to references."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from fusioncam.errors import NonFiniteError, ShapeError
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.tasks.wrapper import Wrapper, as_positive, describe_output


class Embedding(Wrapper):
    """Similarity of an embedding to references: column i for reference i, and a last one for "none of them".

    Score i is the cosine similarity to reference i divided by ``temperature``, and the last column is
    ``neutral / temperature``. The probability of reference i therefore compares it with the other references and with
    the cosine that is neither similar nor different.

    Args:
        network: returns embeddings ``(N, D)``.
        references: embeddings ``(R, D)``; :meth:`of_images` computes them.
        temperature: use a lower one if cosines differ little.
        neutral: the cosine that is neither similar nor different, the threshold of the task.

    Raises:
        ShapeError: for references of another shape.
        NonFiniteError: for references that are not finite or 0.
        SettingError: for a temperature that is not positive.

    Examples:
        ```python
        model = fc.ExplainedModel(fc.tasks.Embedding.of_images(encoder, x))  # the reference of each image is itself
        heatmaps = fc.METHODS["grad-cam"](model, x, target)  # class i is the similarity to x[i]
        ```
    """

    references: Tensor

    def __init__(
        self, network: nn.Module, references: Tensor, *, temperature: float = 0.1, neutral: float = 0.5
    ) -> None:
        super().__init__(network)
        self._register("references", _references(references))
        self.temperature = as_positive(temperature, "temperature")
        self.neutral = neutral

    @classmethod
    def of_images(cls, network: nn.Module, x: Tensor, *, temperature: float = 0.1, neutral: float = 0.5) -> Embedding:
        """Use the embeddings of images ``x`` ``(R, C, H, W)`` as references; the network is left unchanged."""
        references = ExplainedModel(network).logits(x)
        return cls(network, references, temperature=temperature, neutral=neutral)

    of_pictures = of_images  # its earlier name

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, R + 1)`` for ``x`` ``(N, C, H, W)``."""
        embeddings = self.wrapped(x)
        size = self.references.shape[1]
        if not isinstance(embeddings, Tensor) or embeddings.shape[1:] != (size,):
            raise ShapeError(
                f"expected embeddings (N, {size}) like the references, got {describe_output(embeddings)}"
            )
        similarity = F.normalize(embeddings) @ F.normalize(self.references.to(embeddings)).T
        return F.pad(similarity, (0, 1), value=self.neutral) / self.temperature


def _references(references: Tensor) -> Tensor:
    if not isinstance(references, Tensor) or references.dim() != 2 or len(references) == 0:
        is_vector = isinstance(references, Tensor) and references.dim() == 1
        hint = "; use references[None]" if is_vector else ""
        raise ShapeError(f"expected reference embeddings (R, D) with R > 0, got {describe_output(references)}{hint}")
    lengths = references.detach().norm(dim=1)
    if not (lengths.isfinite() & (lengths > 0)).all():
        raise NonFiniteError(f"references must have finite, positive norms, got {lengths.tolist()}")
    return references.detach()
