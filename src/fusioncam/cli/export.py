"""The command `fusioncam export-model`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fusioncam.cli.options import DEFAULT_MODEL, Layer, ModelName


def export_model(
    out: Annotated[Path, typer.Argument(help="file to write, which ends in .onnx")],
    model: ModelName = DEFAULT_MODEL,
    layer: Layer = None,
    method: Annotated[str, typer.Option("--method", "-m", help="cam or recipro-cam")] = "cam",
) -> None:
    """Write a model and its heatmaps as one ONNX file, for programs without PyTorch.

    The input of the file is one normalised image, its outputs are the scores and the heatmap of the predicted class.
    ONNX Runtime runs the file once, and the outputs must be those of PyTorch. cam needs a network with one linear
    layer after the average of its maps; recipro-cam works with others too. Needs the extra fusioncam[onnx].

    \b
    fusioncam export-model model.onnx
    fusioncam export-model model.onnx --model timm:mobilenetv3_large_100 \\
        --method recipro-cam
    """
    from fusioncam.benchmark.throughput import example_input
    from fusioncam.compat.onnx_export import export_onnx
    from fusioncam.zoo.loading import load_model

    loaded = load_model(model, layer=layer, device="cpu")
    x = example_input(loaded)
    export_onnx(loaded, x, out, method)
    numbers = (loaded.preprocessing.mean, loaded.preprocessing.std)
    mean, std = (", ".join(f"{number:g}" for number in values) for values in numbers)
    print(
        f"wrote {out}: input image {tuple(x.shape)}, float32, in [0, 1] minus the mean ({mean}), divided by the "
        f"deviation ({std}) of each channel; outputs scores and heatmaps (1, {x.shape[2]}, {x.shape[3]})"
    )
