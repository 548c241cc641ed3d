"""Evidence for a high or a low output of a regression."""

from __future__ import annotations

from torch import Tensor, nn

from fusioncam.tasks.wrapper import Wrapper, as_index, as_positive, as_rows, column, two_columns


class Regression(Wrapper):
    """Evidence for a high or a low output of a network: two columns, "below the centre" (0) and "above" (1).

    With ``v = (y - centre) / scale``, the probability of "above" is ``sigmoid(v)``, a soft threshold for methods that
    need probabilities. It is nearly constant far from the centre. Grad-CAM's heatmap depends on neither setting.

    Args:
        network: returns ``(N,)`` or ``(N, outputs)``.
        output: the one that is explained.
        centre: a typical value, such as the mean of the training values.
        scale: the typical deviation from it, such as the standard deviation of the training values.

    Raises:
        ShapeError: for an output of the network of another form.
        TargetError: for an output that does not exist.
        SettingError: for a scale that is not positive.

    Examples:
        ```python
        model = fc.ExplainedModel(fc.tasks.Regression(network, output=1, centre=40, scale=12))
        heatmaps = fc.METHODS["grad-cam"](model, x, [1, 1])  # what raises the output
        ```
    """

    def __init__(self, network: nn.Module, output: int = 0, *, centre: float = 0.0, scale: float = 1.0) -> None:
        super().__init__(network)
        self.output = as_index(output, "output")
        self.centre = centre
        self.scale = as_positive(scale, "scale")

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 2)`` for ``x`` ``(N, C, H, W)``."""
        return two_columns((column(as_rows(self.wrapped(x), len(x)), self.output) - self.centre) / self.scale)
