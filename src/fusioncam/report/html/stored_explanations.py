"""Read a folder of ``fusioncam explain``: ``explanations.json``, and the heatmaps and overlays it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusioncam.data.images import open_image
from fusioncam.data.volume_files import open_volume
from fusioncam.data.volume_slices import Slices, parts_of_montage
from fusioncam.data.volumes import Grid
from fusioncam.errors import FusionCamError, ImageError, ResultsError
from fusioncam.report.html.data_uris import strip_of
from fusioncam.report.html.page_model import Failure
from fusioncam.trust.rendering import CardView
from fusioncam.utils.array_files import map_array
from fusioncam.utils.stored_files import EXPLANATIONS, read_stored
from fusioncam.utils.text import minus

FILE = "explanations.json"


@dataclass(frozen=True)
class StoredExplanation:
    """The entry of one heatmap in ``explanations.json``; ``overlay``, ``heatmap`` and ``view`` are file names.

    The passes and seconds are those of the method alone. ``shared`` counts the passes, full and partial, that an
    earlier heatmap of the same image had already made. ``view`` is the part of the image that the network received;
    it is empty in runs of earlier versions.
    """

    source: str
    method: str
    layer: str
    class_name: str
    probability: float
    gains: dict[str, float]
    passes: int
    partial_passes: int
    seconds: float
    shared: int
    overlay: str
    heatmap: str
    trust_card: CardView | None
    view: str = ""
    volume: StoredVolume | None = None

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> StoredExplanation:
        """Read an entry; of the paths of files only the names are used, so that no other folder is read."""
        overlay, heatmap = (Path(name).name for name in facts["files"][-2:])
        cost = facts.get("full_cost", facts)  # earlier versions stored only what was not shared
        return cls(
            source=facts["image"],
            method=facts["method"],
            layer=facts["layer"],
            class_name=facts["class_name"],
            probability=facts["probability"],
            gains=facts["gains"],
            passes=cost["passes"],
            partial_passes=cost["partial_passes"],
            seconds=cost["seconds"],
            shared=sum(cost[name] - facts[name] for name in ("passes", "partial_passes")),
            overlay=overlay,
            heatmap=heatmap,
            trust_card=CardView.from_facts(facts["check"]) if facts.get("check") else None,
            view=Path(facts.get("view", "")).name,
            volume=StoredVolume.from_facts(facts["volume"]) if facts.get("volume") else None,
        )

    @property
    def name(self) -> str:
        """The image's file name."""
        return Path(self.source).name

    @property
    def details(self) -> str:
        """The image's path, where it says more than the name."""
        return "" if self.source == self.name else self.source

    @property
    def title(self) -> str:
        """The class and its probability."""
        return f"{self.class_name} {self.probability:.1%}"

    @property
    def level(self) -> str:
        """The level of the trust card, "" without one."""
        return self.trust_card.level if self.trust_card else ""

    @property
    def cost(self) -> str:
        """The number of passes, and how many of them an earlier heatmap had made."""
        partial = f" and {self.partial_passes:,} partial" if self.partial_passes else ""
        shared = f" ({self.shared:,} of them shared)" if self.shared > 0 else ""
        return f"{self.passes:,}{partial} {'pass' if self.passes + self.partial_passes == 1 else 'passes'}{shared}"

    @property
    def gains_text(self) -> str:
        """The gains of the components of a fusion."""
        return minus(", ".join(f"{name} {gain:+.3f}" for name, gain in self.gains.items()))

    @property
    def caption(self) -> str:
        """The line below the image."""
        gains = f" · gains {self.gains_text}" if self.gains else ""
        return f"{self.layer} · {self.cost} · {self.seconds:.3g} s{gains}"


@dataclass(frozen=True)
class StoredVolume:
    """The voxels of a volume, and which of its slices its overlay shows."""

    grid: Grid
    slices: Slices

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> StoredVolume:
        """Read the entry "volume" of an explanation."""
        slices = Slices(facts["axis"], tuple(facts["slices"]), tuple(facts["size"]))
        return cls(Grid(tuple(facts["shape"]), np.array(facts["affine"], np.float64)), slices)

    def heatmaps(self, path: Path) -> list[NDArray[np.float32]] | None:
        """Return the slices of a saved heatmap, or None if the file is missing, of another volume or damaged."""
        try:
            volume = open_volume(path, 1)
            return self.slices.cut(volume.values[..., 0], self.grid) if volume.grid.shape == self.grid.shape else None
        except (FusionCamError, IndexError, TypeError, ValueError):  # the facts may be damaged
            return None

    def strip(self, path: Path) -> Image.Image | None:
        """Return the slices of a saved montage one below the other; None if it cannot be opened."""
        try:
            return strip_of(parts_of_montage(open_image(path), len(self.slices.indices), self.slices.size))
        except ImageError:
            return None


@dataclass(frozen=True)
class StoredRun:
    """The whole of ``explanations.json``."""

    model: str
    preprocessing: dict[str, Any]
    versions: dict[str, Any]
    explanations: tuple[StoredExplanation, ...]
    failures: tuple[Failure, ...]

    @cached_property
    def images(self) -> list[list[StoredExplanation]]:
        """The explanations by image; an image that was explained twice counts as two."""
        images: list[list[StoredExplanation]] = []
        for explanation in self.explanations:
            if not images or _starts_image(explanation, images[-1]):
                images.append([])
            images[-1].append(explanation)
        return images

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """The methods, in the order in which they ran."""
        return tuple(dict.fromkeys(explanation.method for explanation in self.explanations))


def _starts_image(explanation: StoredExplanation, image: list[StoredExplanation]) -> bool:
    known = {(other.class_name, other.method) for other in image}
    return explanation.source != image[0].source or (explanation.class_name, explanation.method) in known


def read_explanations(folder: Path) -> StoredRun:
    """Read ``explanations.json`` of a folder.

    Raises :class:`ResultsError` if the file is missing, truncated or malformed.
    """
    path = folder / FILE
    facts = read_stored(path, EXPLANATIONS)
    if facts is None:
        raise ResultsError(f"{path} does not exist: pass the folder that `fusioncam explain` wrote to")
    return StoredRun(
        model=facts["model"],
        preprocessing=facts["preprocessing"],
        versions=facts["versions"],
        explanations=tuple(map(StoredExplanation.from_facts, facts["explanations"])),
        failures=tuple(Failure(failure["image"], failure["error"]) for failure in facts["failures"]),
    )


def read_heatmap(path: Path) -> NDArray[np.float32] | None:
    """Return a saved heatmap ``(H, W)``, or None if the file is missing or holds anything else."""
    try:
        heatmap = map_array(path)
    except (OSError, ValueError):
        return None
    valid = heatmap.ndim == 2 and heatmap.size and heatmap.dtype.kind == "f" and np.isfinite(heatmap).all()
    return heatmap.astype(np.float32) if valid else None
