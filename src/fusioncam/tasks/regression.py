"""Evidence for a high or a low output of a regression."""

from __future__ import annotations

from torch import Tensor, nn

from fusioncam.tasks.wrapper import Wrapper, as_index, as_positive, as_rows, column, two_columns


class Regression(Wrapper):
    """Evidence for a high or a low output of a network: two columns, "below the centre" (0) and "above" (1).

    ``network`` returns ``(N,)`` or ``(N, outputs)``, of which ``output`` is explained. With
    ``v = (y - centre) / scale``, the probability of "above" is ``sigmoid(v)``, a soft threshold for methods that need
    probabilities. Set ``centre`` to a typical value and ``scale`` to the typical deviation from it (the mean and
    standard deviation of the training values), because the probability is nearly constant far from the centre.
    Grad-CAM's heatmap depends on neither.

    Raises :class:`ShapeError` or :class:`TargetError` for an output that does not exist, and :class:`SettingError`
    for a scale that is not positive.
    """

    def __init__(self, network: nn.Module, output: int = 0, *, centre: float = 0.0, scale: float = 1.0) -> None:
        super().__init__(network)
        self.output = as_index(output, "output")
        self.centre = centre
        self.scale = as_positive(scale, "scale")

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 2)`` for ``x`` ``(N, C, H, W)``."""
        return two_columns((column(as_rows(self.wrapped(x), len(x)), self.output) - self.centre) / self.scale)
