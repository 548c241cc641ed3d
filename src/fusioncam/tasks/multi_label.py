"""One of several labels that do not exclude each other."""

from __future__ import annotations

from torch import Tensor, nn

from fusioncam.tasks.wrapper import Wrapper, as_index, as_rows, column, two_columns


class MultiLabel(Wrapper):
    """One of several labels that are not exclusive: two columns, "absent" (0) and "present" (1).

    The probability of "present" is the sigmoid of the logit of ``label``. With a softmax over all labels, the other
    labels would lower it, although an image may show several.

    Args:
        network: returns one logit per label, ``(N, labels)``, or ``(N,)`` for a single label; probabilities are
            turned into log-odds.
        label: the index of the explained label.

    Raises:
        ShapeError: for an output of the network of another form.
        TargetError: for a label that does not exist.

    Examples:
        ```python
        model = fc.ExplainedModel(fc.tasks.MultiLabel(network, label=1))
        heatmaps = fc.METHODS["grad-cam"](model, x, [1, 1])  # class 1 is "present"
        ```
    """

    def __init__(self, network: nn.Module, label: int = 0) -> None:
        super().__init__(network)
        self.label = as_index(label, "label")

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 2)`` for ``x`` ``(N, C, H, W)``."""
        logits = self.reader.log_odds(lambda: as_rows(self.wrapped(x), len(x)), x)
        return two_columns(column(logits, self.label))
