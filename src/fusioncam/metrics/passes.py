"""How many passes of the network a metric needs for one heatmap."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MetricPasses:
    """Passes for one heatmap.

    - ``full``: passes over the image or changed copies of it.
    - ``methods``: runs of the method that computed the heatmap.
    - ``pixels``: pixels for which there is one more pass; 0 for none.

    >>> str(MetricPasses(full=3, methods=5)), str(MetricPasses(full=1, pixels=224)), str(MetricPasses())
    ('3 + 5 M', 'S / 224 + 1', '0')
    """

    full: int = 0
    methods: int = 0
    pixels: int = 0

    def at(self, method: int, pixels: int) -> int:
        """Return the number of passes for a method of ``method`` passes and an image of ``pixels`` pixels.

        >>> MetricPasses(full=1, pixels=224).at(1, 224 * 224), MetricPasses(full=3, methods=5).at(65, 224 * 224)
        (225, 328)
        """
        steps = -(-pixels // self.pixels) if self.pixels else 0
        return steps + self.full + self.methods * method

    def __str__(self) -> str:
        """M is the number of passes that the method takes, S the number of pixels."""
        terms = [f"S / {self.pixels}"] * (self.pixels > 0) + [str(self.full)] * (self.full > 0)
        if self.methods:
            terms.append("M" if self.methods == 1 else f"{self.methods} M")
        return " + ".join(terms) or "0"
