"""Write small data sets in the layouts that can be read."""

from __future__ import annotations

import json

from PIL import Image

BIRD, FISH = "n01514668", "n01440764"  # a cock, class 7, and a tench, class 0


def write(path, content="", size=(8, 6)):
    """Write text or, if the suffix is that of an image, an image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
        Image.new("RGB", size, content or "red").save(path)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def xml(*objects, size=(8, 6)):
    """Return an annotation with objects of name and corners."""
    elements = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
        "</bndbox><part><name>head</name></part></object>"
        for name, x0, y0, x1, y1 in objects
    )
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{elements}</annotation>"


def names(samples):
    """Return the samples' names, which must equal the data set's own list."""
    assert list(samples.names) == [sample.name for sample in samples]
    return list(samples.names)
