"""Download pretrained weights with one kind of error, and without executing code."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlparse
from urllib.request import getproxies

from huggingface_hub import constants as hub

from fusioncam.errors import WeightsError
from fusioncam.zoo.checkpoints import first_line

_WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


@contextmanager
def downloading(name: str, alternative: str) -> Iterator[None]:
    """Load pretrained weights in this block; raise :class:`WeightsError` if they are unavailable.

    Inside the block torch loads tensors only, and the hub goes straight to its cache if it is unreachable: otherwise
    it would retry for most of a minute. ``alternative`` completes the message.
    """
    offline, weights_only = hub.HF_HUB_OFFLINE, os.environ.get(_WEIGHTS_ONLY)
    hub.HF_HUB_OFFLINE = offline or not (getproxies() or _is_reachable(hub.ENDPOINT))
    os.environ[_WEIGHTS_ONLY] = "1"
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = first_line(error).rstrip(".")
        raise WeightsError(f"{name}: pretrained weights unavailable: {reason}. {alternative}") from error
    finally:
        hub.HF_HUB_OFFLINE = offline
        if weights_only is None:
            del os.environ[_WEIGHTS_ONLY]
        else:
            os.environ[_WEIGHTS_ONLY] = weights_only


def _is_reachable(url: str) -> bool:
    try:
        return bool(socket.getaddrinfo(urlparse(url).hostname, 443))
    except OSError:
        return False
