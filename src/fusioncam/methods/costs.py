"""How many passes of the network a method needs for one image."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class PassCount:
    """Passes of one image, as a function of the layer: K is its number of channels, P its number of locations.

    - ``recorded``: one recorded pass, which yields activations and gradients. Methods of one call share it, so a sum
      counts it once.
    - ``full``: passes that start at the image.
    - ``per_channel``: full passes per channel of the layer.
    - ``partial_per_channel``, ``partial_per_location``: passes that start at the layer.
    - ``per_channel_of_each_layer``: full passes per channel of every layer that the method uses.
    - ``at_most``: the counts are upper bounds, except for the recorded pass.
    - ``unknown``: a partner does not declare its cost.

    >>> str(PassCount(recorded=True, per_channel=35) + PassCount(recorded=True, full=4))
    '1 + 35 K + 4'
    """

    recorded: bool = False
    full: int = 0
    per_channel: int = 0
    partial_per_channel: int = 0
    partial_per_location: int = 0
    per_channel_of_each_layer: int = 0
    at_most: bool = False
    unknown: bool = False

    @property
    def has_partial(self) -> bool:
        """Return whether any pass starts at the layer."""
        return self.partial_per_channel + self.partial_per_location > 0

    def at(self, channels: int, locations: int) -> tuple[int, int] | None:
        """Return the numbers of full and partial passes at a layer; None if they depend on more than the layer.

        >>> PassCount(recorded=True, partial_per_channel=1).at(1280, 49)
        (1, 1280)
        """
        if self.at_most or self.unknown or self.per_channel_of_each_layer:
            return None
        full = self.recorded + self.full + self.per_channel * channels
        return full, self.partial_per_channel * channels + self.partial_per_location * locations

    def __add__(self, other: PassCount) -> PassCount:
        pairs = {field.name: (getattr(self, field.name), getattr(other, field.name)) for field in fields(self)}
        # flags, also `recorded`, hold for a sum if they hold for either part
        return PassCount(**{name: a or b if isinstance(a, bool) else a + b for name, (a, b) in pairs.items()})

    def times(self, repeats: int) -> PassCount:
        """Return the passes of ``repeats`` runs on different images, which share no recorded pass.

        >>> str(PassCount(recorded=True, per_channel=1).times(6))
        '6 K + 6'
        """
        return PassCount(
            full=repeats * (self.full + self.recorded),
            per_channel=repeats * self.per_channel,
            partial_per_channel=repeats * self.partial_per_channel,
            partial_per_location=repeats * self.partial_per_location,
            per_channel_of_each_layer=repeats * self.per_channel_of_each_layer,
            at_most=self.at_most,
            unknown=self.unknown,
        )

    def __str__(self) -> str:
        counts = {
            "K partial": self.partial_per_channel,
            "P partial": self.partial_per_location,
            "K": self.per_channel,
            "K of each layer": self.per_channel_of_each_layer,
        }
        terms = [symbol if count == 1 else f"{count} {symbol}" for symbol, count in counts.items() if count]
        terms += [str(self.full)] * (self.full > 0)
        if self.at_most and terms:
            terms[0] = f"up to {terms[0]}"
        return " + ".join(["1"] * self.recorded + terms + ["?"] * self.unknown) or "0"


RECORDED = PassCount(recorded=True)


def cost_of(*methods: object) -> PassCount:
    """Return the passes that methods need together; equal methods run once, and the recorded pass is shared.

    A callable without a :class:`PassCount` as its ``cost`` makes the sum ``unknown``.

    >>> from fusioncam.methods import GradCAM, ScoreCAM
    >>> str(cost_of(GradCAM(), ScoreCAM(), GradCAM())), str(cost_of(GradCAM(), len))
    ('1 + K', '1 + ?')
    """
    costs = [getattr(method, "cost", None) for method in dict.fromkeys(methods)]
    return sum((cost if isinstance(cost, PassCount) else PassCount(unknown=True) for cost in costs), PassCount())
