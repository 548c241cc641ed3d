"""Regions that look like text: rendered lines are found, photographs without text are not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from fusioncam.audit import AuditPlan, audit, read_audit
from fusioncam.audit.text_like import text_mask
from stamps import write_squares

NAMES = ("chelsea", "coffee", "astronaut", "rocket")
PHOTOS = {name: Image.fromarray(getattr(data, name)()).convert("RGB") for name in NAMES}
LINE = "www.photo-agency.com"


def with_text(image, size=24, colour="white", shadow="black"):
    """Return the image with a line of text at its lower left, and the box of the text: left, top, right, bottom."""
    image = image.copy()
    canvas, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    at = (10, image.height - size - 14)
    canvas.rectangle(canvas.textbbox(at, LINE, font), shadow)
    canvas.text(at, LINE, colour, font)
    return image, canvas.textbbox(at, LINE, font)


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("size", [16, 24, 40])
@pytest.mark.parametrize("colours", [("white", "black"), ("black", "white"), ("yellow", "navy")])
def test_rendered_text_is_found(name, size, colours):
    """Most of its box is covered, and hardly anything else."""
    image, box = with_text(PHOTOS[name], size, *colours)
    mask = text_mask(image)
    left, top, right, bottom = (round(edge * mask.shape[1] / image.width) for edge in box)
    inside = mask[top:bottom, left:right]

    assert inside.mean() > 0.45
    assert mask.sum() - inside.sum() < 0.03 * mask.size


@pytest.mark.parametrize("name", PHOTOS)
def test_photographs_have_hardly_any(name):
    """None of these has text that could be read."""
    assert text_mask(PHOTOS[name]).mean() < 0.02


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
def test_tiny_images_have_none(size):
    """Those without room for a letter."""
    assert not text_mask(Image.new("RGB", size)).any()


def test_audits_measure_the_heat_in_text(tmp_path):
    """A class with text has area of text, others have none."""
    folder = write_squares(tmp_path / "data", 4)
    for path in (folder / "red").iterdir():
        image, _ = with_text(Image.open(path).convert("RGB").resize((320, 320)))
        image.save(path)
    audit(AuditPlan(str(folder), "stamps:reader", "grad-cam"), tmp_path / "out")
    rows = read_audit(tmp_path / "out")["images"]

    area = {
        name: np.mean([one["text_area"] for one in rows if one["image"].startswith(name)]) for name in ("red", "blue")
    }
    assert area["red"] > 0.01 > area["blue"]
    assert all(0 <= one["text"] <= 1 for one in rows)
