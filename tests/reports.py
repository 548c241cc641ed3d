"""Write synthetic folders of explanations and of runs, as `explain` and `benchmark` write them."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import torch
from PIL import Image

from fusioncam import Preprocessing
from fusioncam.benchmark.plan import Plan
from fusioncam.benchmark.run_folder import HeatmapStore
from fusioncam.visualization import overlay
from runs import row, save

METHODS = ("grad-cam", "fusion-cam")
PREPROCESSING = Preprocessing((48, 48), 48)
QUESTION = {
    "name": "faithful",
    "question": "Does the score follow the heatmap?",
    "level": "mixed",
    "words": "It does, but no better than the centre.",
    "figures": {"insertion": 0.512345, "random": -0.25},
    "curves": {"insertion": {"heatmap": [0.0, 0.5, 1.0], "random": [0.0, 0.2, 1.0], "center": [0.0, 0.4, 1.0]}},
}
TRUST_CARD = {
    "level": "mixed",
    "words": "Right in part.",
    "seconds": 2.345,
    "passes": 120,
    "partial_passes": 40,
    "questions": [QUESTION, QUESTION | {"level": "unknown", "curves": None, "figures": {}}],
}


def smooth_image(seed, side=48):
    """Return a smooth random RGB image."""
    grid = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(grid).resize((side, side), Image.Resampling.BICUBIC)


def smooth_heatmap(seed, side=48):
    """Return a smooth random heatmap ``(side, side)``."""
    grid = Image.fromarray(np.random.default_rng(seed).random((5, 5)).astype(np.float32))
    return np.asarray(grid.resize((side, side), Image.Resampling.BILINEAR))


def write_explanations(
    folder, names, methods=METHODS, classes=(("tabby", 0.8),), failures=(), trust_card=None, side=48
):
    """Write a folder as `explain` does for images of these names, and return it."""
    folder.mkdir(exist_ok=True)
    explanations = [
        explanation(folder, index, name, number, method, title, probability, side)
        | ({"check": trust_card} if trust_card else {})
        for index, name in enumerate(names)
        for title, probability in classes
        for number, method in enumerate(methods)
    ]
    facts = {
        "schema_version": 1,
        "model": "efficientnet_lite0",
        "preprocessing": asdict(PREPROCESSING),
        "versions": {"python": "3.11", "fusioncam": "0.1.0"},
        "explanations": explanations,
        "failures": [{"image": name, "error": error} for name, error in failures],
    }
    (folder / "explanations.json").write_text(json.dumps(facts))
    return folder


def explanation(folder, index, name, number, method, title, probability, side):
    """Write the overlay and the heatmap of one explanation, and return its entry in explanations.json."""
    stem = f"{index}.{number}.{title.replace('/', '_')[:20]}"
    heatmap = smooth_heatmap(100 * index + number, side)
    image = smooth_image(index, side)
    overlay(image, heatmap).save(folder / f"{stem}.png")
    image.save(folder / f"{index}.input.jpg", quality=95)
    np.save(folder / f"{stem}.npy", heatmap)
    return {
        "image": name,
        "method": method,
        "layer": "blocks.6",
        "target": 281,
        "label": title,
        "class_name": title,
        "probability": probability,
        "gains": {"D": 0.1, "R": -0.2, "U": 0.3} if "fusion" in method else {},
        "passes": 325,
        "partial_passes": 0,
        "seconds": 1.2345,
        "files": [f"{stem}.png", f"{stem}.npy"],
        "view": f"{index}.input.jpg",
    }


def write_run(
    folder, names, methods=(*METHODS, "ones"), models=("lite0",), keep_heatmaps=True, data=None, failures=()
):
    """Write a folder as `benchmark --keep-heatmaps` does for images of these names, and return it."""
    rng, rows = np.random.default_rng(0), []
    for model in models:
        for index, name in enumerate(names):
            for number, method in enumerate(methods):
                value, curve = rng.random(), sorted(rng.random(5))
                facts = {"model": model, "image": name, "method": method, "target": 1, "label": 2}
                rows.append(row(**facts, value=float(value), curve=[float(point) for point in curve]))
                rows.append(row(**facts, metric="road", value=float(value) / 3 + number))
            if keep_heatmaps:
                heatmaps = {method: torch.tensor(smooth_heatmap(100 * index + n)) for n, method in enumerate(methods)}
                HeatmapStore(folder / "heatmaps").save(model, name, heatmaps)
    rows += [
        row(model=models[0], image=name, method="", metric="", value=None, error=error) for name, error in failures
    ]
    save(folder, rows)
    plan = Plan(
        str(data or "photos"), tuple(models), tuple(methods), ("insertion", "road"), keep_heatmaps=keep_heatmaps
    )
    plan.save(folder / "plan.json")
    info = {"preprocessing": asdict(PREPROCESSING), "labels": ["ash", "birch, white birch", "cedar"], "classes": 3}
    facts = {"data": str(data) if data else None, "class_map": None, "models": dict.fromkeys(models, info)}
    (folder / "models.json").write_text(json.dumps(facts))
    return folder


def write_photos(folder, names):
    """Write images of these names, and return the folder."""
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        smooth_image(index).save(path)
    return folder
