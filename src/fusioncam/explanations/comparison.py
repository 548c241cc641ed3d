"""Several heatmaps of one image side by side: methods, layers or classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from PIL import Image
from torch import nn

from fusioncam.data.images import ImageLike
from fusioncam.errors import SettingError
from fusioncam.explanations.class_selection import ImageTarget
from fusioncam.explanations.detections import overlay_boxes
from fusioncam.explanations.explain import explain_each
from fusioncam.explanations.explanation import Explanation
from fusioncam.explanations.result_files import distinct_suffixes, unused_stem
from fusioncam.methods.base import Method
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.files import atomic_write, writable_folder
from fusioncam.utils.old_names import alias, old_keywords
from fusioncam.utils.quiet import ignoring
from fusioncam.utils.text import bare_stem, file_stem, printable, slug, truncate_stem
from fusioncam.visualization import as_png, side_by_side
from fusioncam.zoo.loading import DEFAULT_MODEL


@dataclass(frozen=True, eq=False, repr=False)  # compared by identity, as explanations are
class Comparison:
    """A sequence of explanations of one image, which a notebook shows side by side.

    Attributes:
        explanations: one for each method, or for each class and method.

    Raises:
        SettingError: for no explanation.

    Examples:
        ```python
        comparison = fc.compare("cat.jpg", ["grad-cam", "layer-cam"])
        comparison.image(colormap="viridis").save("methods.png")
        [explanation.seconds for explanation in comparison]
        ```
    """

    explanations: tuple[Explanation, ...]

    def __post_init__(self) -> None:
        if not self.explanations:
            raise SettingError("a comparison needs at least one explanation, got none: name methods")

    def __iter__(self) -> Iterator[Explanation]:
        return iter(self.explanations)

    def __len__(self) -> int:
        return len(self.explanations)

    def __getitem__(self, index: int) -> Explanation:
        return self.explanations[index]

    @property
    def title(self) -> str:
        """The file name of the image, if it has one, and if all explain one class, that class and its probability."""
        first, path = self[0], Path(self[0].source)
        name = printable(truncate_stem(path.stem)) if path.suffix else ""
        class_and_probability = "" if self._several_classes else _class_and_probability(first)
        return ": ".join(filter(None, (name, class_and_probability)))

    def image(self, title: str | None = None, **style: Any) -> Image.Image:
        """Return the image and its overlays in rows, each below its method, and its class if there are several.

        ``style`` are arguments of :meth:`Explanation.overlay`.
        """
        style.setdefault("view", "crop")  # panels are small
        has_boxes = len(self) > 1 and all(one.box for one in self)
        panels = [("all boxes", overlay_boxes(self.explanations, **style)) if has_boxes else ("image", self[0].image)]
        for explanation in self:
            second_line = f"\n{_class_and_probability(explanation)}" if self._several_classes else ""
            panels.append((explanation.method + second_line, explanation.overlay(**style)))
        # names in scripts that the font lacks are drawn as boxes, which is not worth a warning
        with ignoring(UserWarning, "Glyph .* missing from"):
            return side_by_side(panels, self.title if title is None else title)

    picture = alias("image")

    def save(self, folder: str | Path, stem: str | None = None, **style: Any) -> list[Path]:
        """Write ``STEM.png`` (all side by side) and the files of each explanation; return the paths.

        ``style`` are arguments of :meth:`Explanation.overlay`, and which files are replaced is described at
        :meth:`Explanation.save`.
        """
        path, source = writable_folder(Path(folder)), self[0].source
        wanted = stem or file_stem(bare_stem(Path(source).name))
        base = unused_stem(path, wanted, self._file_names, source, replace_any=bool(stem))
        grid = path / f"{base}.png"
        with atomic_write(grid) as file:
            self.image(**style).save(file, "PNG")
        saved = [
            explanation.save_as(path, one, comparison=grid.name, **style)
            for explanation, one in zip(self, self._stems(base), strict=True)
        ]
        return [grid, *chain.from_iterable(saved)]

    def _file_names(self, stem: str) -> list[str]:
        return [f"{stem}.png", *chain.from_iterable(map(self[0].file_names, self._stems(stem)))]

    def _stems(self, stem: str) -> list[str]:
        """Return the stem of each explanation's files: they name its method, and its class if there are several."""
        classes = [f".{slug(str(explanation.target))}" if self._several_classes else "" for explanation in self]
        suffixes = [slug(one.method) + target for one, target in zip(self, classes, strict=True)]
        return [f"{stem}.{suffix}" for suffix in distinct_suffixes(suffixes)]

    @property
    def _several_classes(self) -> bool:
        return len({explanation.target for explanation in self}) > 1

    def __repr__(self) -> str:
        return f"<Comparison of {len(self)}>\n" + "\n".join(map(repr, self))

    def _repr_png_(self) -> bytes:
        return as_png(self.image())


@old_keywords(picture="image")
def compare(
    image: ImageLike,
    methods: Sequence[str | Method] = ("grad-cam", "score-cam", "fusion-cam"),
    *,
    model: str | nn.Module | ExplainedModel = DEFAULT_MODEL,
    layer: str | None = None,
    target: ImageTarget = None,
    device: str | None = None,
) -> Comparison:
    """Explain one image by several methods, side by side; they share the passes that they have in common.

    Args:
        image: as for :func:`explain`.
        methods: SPECs or callables. A SPEC with alternatives stands for several methods:
            ``grad-cam(layer=blocks.3|blocks.5)`` compares layers.
        model: as for :func:`explain`.
        layer: as for :func:`explain`.
        target: as for :func:`explain_each`; ``"top3"`` compares classes.
        device: as for :func:`explain`.

    Returns:
        The comparison, a sequence of explanations that displays itself in a notebook.

    Examples:
        ```python
        comparison = fc.compare("cat.jpg", ["grad-cam", "layer-cam"])
        comparison[0].heatmap
        ```
    """
    explanations = explain_each([image], model=model, layer=layer, methods=methods, target=target, device=device)
    return Comparison(tuple(explanations))


def _class_and_probability(explanation: Explanation) -> str:
    return f"{explanation.class_name} {explanation.probability:.1%}"
