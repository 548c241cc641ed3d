"""What a traced pass of two images shows about its sequences ``(2, T, K)``.

Tokens that are equal for both images where they first exist do not come from the image: class, register and detection
tokens, and the queries of a decoder.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from fusioncam.inference.hooks import ModuleCall, TracedTensor
from fusioncam.model.module_order import module_channels_first


class Sequences:
    """The sequences among the traced tensors, which are in the order of time."""

    def __init__(self, tensors: Sequence[TracedTensor], calls: Sequence[ModuleCall]) -> None:
        sequences = [tensor for tensor in tensors if tensor.varies is not None]
        # where no token depends on the image, as in a network without weights, constant tokens show nothing
        self.depend_on_image = any(map(_varies, sequences))
        self._first: dict[int, TracedTensor] = {}
        self._lengths: dict[int, int] = {}
        for tensor in sequences:
            self._lengths.setdefault(tensor.shape[1], tensor.time)
            if _varies(tensor):
                self._first.setdefault(tensor.shape[1], tensor)
        self._queries: dict[int, int] = {}
        for call in calls:
            if _reads_image(call) and call.output is not None:
                self._queries.setdefault(call.output.shape[1], call.after_time)

    def from_image(self, tensor: TracedTensor) -> bool:
        """Return whether a tensor depends on the image, if any does."""
        return not self.depend_on_image or _varies(tensor)

    def constant_ends(self, tokens: int, time: int) -> tuple[int, int]:
        """Return how many of so many tokens, at the start and at the end, do not depend on the image at first."""
        first = self._first.get(tokens)
        if first is None or first.time > time:
            return 0, 0
        varying = [index for index, varies in enumerate(first.varies or ()) if varies]
        return varying[0], tokens - 1 - varying[-1]

    def are_queries(self, call: ModuleCall) -> bool:
        """Return whether the tokens that a call outputs are constants, or began as constants, such as queries."""
        output = call.output
        if output is None or output.varies is None or not self.depend_on_image:
            return False
        return (
            not self.from_image(output) or self._queries.get(output.shape[1], call.after_time + 1) <= call.after_time
        )

    def is_attention(self, shape: Sequence[int], module: nn.Module, time: int) -> bool:
        """Return whether a tensor of that shape is a matrix from tokens to tokens."""
        if module_channels_first(module, shape):
            return False
        if len(shape) == 3:
            return isinstance(module, nn.Softmax) and shape[1] == shape[2]
        return len(shape) == 4 and all(self._lengths.get(side, time) < time for side in shape[2:])


def _varies(tensor: TracedTensor) -> bool:
    return tensor.varies is not None and any(tensor.varies)


def _reads_image(call: ModuleCall) -> bool:
    """Return whether constant tokens enter a call and leave it with something of the image, as in cross-attention."""
    given, output = call.input, call.output
    if given is None or output is None or given.varies is None or given.shape[:2] != output.shape[:2]:
        return False
    return not _varies(given) and _varies(output)
