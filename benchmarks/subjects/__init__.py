"""Subjects by name, a file each."""

from __future__ import annotations

from .ablation import Ablation
from .arithmetic import Arithmetic
from .budget import Budget
from .calls import Calls
from .conversion import Conversion
from .curves import Curves
from .exact import Exact
from .gradient import Gradient
from .memory import Memory
from .network_curves import NetworkCurves
from .networks import Networks
from .precision import Precision
from .report import Report
from .scaling import Scaling
from .share import Share
from .start import Start

SUBJECTS = {
    one.name: one
    for one in (
        Exact,
        Share,
        Budget,
        Ablation,
        Curves,
        Gradient,
        Memory,
        Networks,
        NetworkCurves,
        Precision,
        Scaling,
        Calls,
        Arithmetic,
        Start,
        Conversion,
        Report,
    )
}
