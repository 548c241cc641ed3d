"""Folders of explanations and of runs that never were, as `explain` and `benchmark` write them."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import torch
from PIL import Image

from fusioncam import Preprocessing
from fusioncam.benchmark.plan import Plan
from fusioncam.benchmark.run_folder import Heatmaps
from fusioncam.visualization import overlay
from runs import row, save

METHODS = ("grad-cam", "fusion-cam")
PREPROCESSING = Preprocessing((48, 48), 48)
QUESTION = {
    "name": "faithful",
    "question": "Does the score follow the map?",
    "level": "mixed",
    "words": "It does, but no better than the centre.",
    "figures": {"insertion": 0.512345, "random": -0.25},
    "curves": {"insertion": {"heatmap": [0.0, 0.5, 1.0], "random": [0.0, 0.2, 1.0], "center": [0.0, 0.4, 1.0]}},
}
CHECK = {
    "level": "mixed",
    "words": "Right in part.",
    "seconds": 2.345,
    "passes": 120,
    "partial_passes": 40,
    "questions": [QUESTION, QUESTION | {"level": "unknown", "curves": None, "figures": {}}],
}


def pixels(number, side=48):
    """Give a smooth image of its own, an RGB image."""
    grid = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(grid).resize((side, side), Image.Resampling.BICUBIC)


def heat(number, side=48):
    """Give a smooth heatmap of its own ``(side, side)``."""
    grid = Image.fromarray(np.random.default_rng(number).random((5, 5)).astype(np.float32))
    return np.asarray(grid.resize((side, side), Image.Resampling.BILINEAR))


def explained(folder, names, methods=METHODS, classes=(("tabby", 0.8),), failures=(), check=None, side=48):
    """Write what `explain` does for images of these names, and give the folder."""
    folder.mkdir(exist_ok=True)
    told = []
    for place, name in enumerate(names):
        for title, probability in classes:
            for number, method in enumerate(methods):
                stem = f"{place}.{number}.{title.replace('/', '_')[:20]}"
                map_ = heat(100 * place + number, side)
                overlay(pixels(place, side), map_).save(folder / f"{stem}.png")
                np.save(folder / f"{stem}.npy", map_)
                told.append(
                    {
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
                    }
                    | ({"check": check} if check else {})
                )
    facts = {
        "schema_version": 1,
        "model": "efficientnet_lite0",
        "preprocessing": asdict(PREPROCESSING),
        "versions": {"python": "3.11", "fusioncam": "0.1.0"},
        "explanations": told,
        "failures": [{"image": name, "error": error} for name, error in failures],
    }
    (folder / "explanations.json").write_text(json.dumps(facts))
    return folder


def measured(folder, names, methods=(*METHODS, "ones"), models=("lite0",), kept=True, data=None, failures=()):
    """Write what `benchmark --keep-heatmaps` does for images of these names, and give the folder."""
    rng, rows = np.random.default_rng(0), []
    for model in models:
        for place, name in enumerate(names):
            for number, method in enumerate(methods):
                value, curve = rng.random(), sorted(rng.random(5))
                about = {"model": model, "image": name, "method": method, "target": 1, "label": 2}
                rows.append(row(**about, value=float(value), curve=[float(one) for one in curve]))
                rows.append(row(**about, metric="road", value=float(value) / 3 + number))
            if kept:
                maps = {method: torch.tensor(heat(100 * place + n)) for n, method in enumerate(methods)}
                Heatmaps(folder / "heatmaps").save(model, name, maps)
    rows += [row(model=models[0], image=name, method="", metric="", value=None, error=one) for name, one in failures]
    save(folder, rows)
    Plan(str(data or "photos"), tuple(models), tuple(methods), ("insertion", "road"), keep_heatmaps=kept).save(
        folder / "plan.json"
    )
    noted = {"preprocessing": asdict(PREPROCESSING), "labels": ["ash", "birch, white birch", "cedar"], "classes": 3}
    facts = {"data": str(data) if data else None, "class_map": None, "models": dict.fromkeys(models, noted)}
    (folder / "models.json").write_text(json.dumps(facts))
    return folder


def photos(folder, names):
    """Write images of these names, and give the folder."""
    for place, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels(place).save(path)
    return folder
