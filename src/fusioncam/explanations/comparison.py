"""Several heatmaps of one image side by side: methods, layers or classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import nn

from fusioncam.data.images import ImageLike
from fusioncam.errors import UnknownNameError
from fusioncam.explanations.explain import explain_each
from fusioncam.explanations.explanation import Explanation
from fusioncam.methods.base import Method
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.files import atomic_write, writable_folder
from fusioncam.utils.text import printable, slug, truncate_stem
from fusioncam.visualization import as_png, side_by_side
from fusioncam.zoo.loading import DEFAULT_MODEL


@dataclass(frozen=True, eq=False, repr=False)  # told apart by which one it is, as explanations are
class Comparison:
    """Explanations of one image, which a notebook shows side by side; a sequence of them."""

    explanations: tuple[Explanation, ...]

    def __post_init__(self) -> None:
        if not self.explanations:
            raise UnknownNameError("a comparison needs at least one explanation: name methods")

    def __iter__(self) -> Iterator[Explanation]:
        return iter(self.explanations)

    def __len__(self) -> int:
        return len(self.explanations)

    def __getitem__(self, place: int) -> Explanation:
        return self.explanations[place]

    @property
    def title(self) -> str:
        """The image's name, if it is a file's; where all are of one class, that class and its probability too."""
        first, path = self[0], Path(self[0].source)
        name = printable(truncate_stem(path.stem)) if path.suffix else ""
        of_class = "" if self._classes > 1 else f"{first.class_name} {first.probability:.1%}"
        return ": ".join(filter(None, (name, of_class)))

    def image(self, title: str | None = None) -> Image.Image:
        """Give the image and its overlays in rows, each under its method, and its class if there are several."""
        panels = [("image", self[0].image)]
        for one in self:
            of_class = f"\n{one.class_name} {one.probability:.1%}" if self._classes > 1 else ""
            panels.append((one.method + of_class, one.overlay()))
        return side_by_side(panels, self.title if title is None else title)

    def save(self, folder: str | Path, stem: str | None = None) -> list[Path]:
        """Write ``STEM.png``, all side by side, and what each explanation writes; give the paths."""
        stem = stem or truncate_stem(Path(self[0].source).stem)
        grid = writable_folder(Path(folder)) / f"{stem}.png"
        with atomic_write(grid) as file:
            self.image().save(file, "PNG")
        names = [f"{stem}.{slug(one.method)}" + f".{one.target}" * (self._classes > 1) for one in self]
        return [grid, *(path for one, name in zip(self, names, strict=True) for path in one.save(folder, name))]

    @property
    def _classes(self) -> int:
        return len({one.target for one in self})

    def __repr__(self) -> str:
        return f"<Comparison of {len(self)}>\n" + "\n".join(map(repr, self))

    def _repr_png_(self) -> bytes:
        return as_png(self.image())


def compare(
    image: ImageLike,
    methods: Sequence[str | Method] = ("grad-cam", "score-cam", "fusion-cam"),
    *,
    model: str | nn.Module | ExplainedModel = DEFAULT_MODEL,
    layer: str | None = None,
    target: int | str | None = None,
    device: str | None = None,
) -> Comparison:
    """Explain one image by several methods, side by side.

    A SPEC with alternatives is several: ``grad-cam(layer=blocks.3|blocks.5)`` compares layers, ``target="top3"``
    classes. The rest is as in :func:`explain_each`, and so are the errors; methods share what they have in common.
    """
    made = explain_each([image], model=model, layer=layer, methods=methods, target=target, device=device)
    return Comparison(tuple(made))
