"""The projection of activations on their first principal component, under the name of pytorch-grad-cam."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusioncam.functional.cam import first_principal_component


def get_2d_projection(activation_batch: Any) -> NDArray[np.float32]:
    """Return the projections ``(N, h, w)`` of activations ``(N, K, h, w)``, not centred and with a positive sum."""
    activations = torch.as_tensor(np.nan_to_num(np.asarray(activation_batch, np.float32)))
    found: NDArray[np.float32] = first_principal_component(activations).numpy()
    return found
