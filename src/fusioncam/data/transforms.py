"""Read the preprocessing of other libraries, as the settings of a ``Preprocessing``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL import Image

from fusioncam.errors import InputTypeError, SettingError, shown

Settings = dict[str, Any]
_KNOWN = (
    "a transformers image processor, weights.transforms() of torchvision, a Compose of torchvision or open_clip, or "
    "timm's data config"
)
# steps of a Compose that change no pixels, by their names
_NEUTRAL = (
    "totensor",
    "toimage",
    "maybetotensor",
    "topiltomtensor",
    "convertmode",
    "pil",
    "rgb",
    "identity",
    "todtype",
    "tofloat",
)


def settings_of(transform: object) -> Settings:
    """Return the settings: ``size``, ``resize``, ``interpolation``, ``mean`` and ``std``.

    Raises :class:`InputTypeError` for an object of another kind, and :class:`SettingError` for a step that
    :class:`Preprocessing` does not have, with what to do.
    """
    readers: list[tuple[Callable[[Any], bool], Callable[[Any], Settings]]] = [
        (lambda one: isinstance(one, Mapping) and "input_size" in one, settings_of_timm),
        (lambda one: hasattr(one, "image_mean") or hasattr(one, "image_processor"), _of_processor),
        (lambda one: hasattr(one, "mean") and hasattr(one, "resize_size"), _of_torchvision_weights),
        (lambda one: isinstance(getattr(one, "transforms", None), (list, tuple)), _of_compose),
    ]
    for fits, read in readers:
        if fits(transform):
            return read(transform)
    raise InputTypeError(f"expected {_KNOWN}, got {shown(transform)}: pass Preprocessing(size, resize, mean=, std=)")


def settings_of_timm(config: Mapping[str, Any], channels: int | None = None) -> Settings:
    """Return the settings of timm's data config; ``channels`` are those of the network if it was changed."""
    height, width = config["input_size"][1:]
    mode, share = config.get("crop_mode") or "center", config.get("crop_pct") or 0.875
    oblong = height != width and mode == "center"
    if oblong or mode == "border" or share > 1:
        raise SettingError(
            f"preprocessing of timm is not supported ({dict(config)}): create an ExplainedModel with one of your own"
        )
    scaled = (math.floor(height / share), math.floor(width / share))
    mean, std = (
        tuple(values) if channels in (None, len(values)) else (sum(values) / len(values),) * int(channels or 0)
        for values in (config["mean"], config["std"])
    )
    resize = scaled[0] if mode == "center" else scaled
    return _settings((height, width), resize, config.get("interpolation"), mean, std)


def _of_processor(processor: Any) -> Settings:
    """Read an image processor of transformers, also one inside a processor of images and texts."""
    processor = getattr(processor, "image_processor", processor)
    size, crop = _as_dict(processor, "size"), _as_dict(processor, "crop_size")
    crops = bool(getattr(processor, "do_center_crop", False)) and "height" in crop
    share = getattr(processor, "crop_pct", None)
    resize: int | tuple[int, int]
    if "height" in size:
        resize = (size["height"], size["width"])
    elif "shortest_edge" in size:
        resize = size["shortest_edge"]
    else:
        raise SettingError(f"the processor's size {size} depends on the image: pass Preprocessing(size, resize, ...)")
    target = (crop["height"], crop["width"]) if crops else resize if isinstance(resize, tuple) else (resize, resize)
    if share and not crops and isinstance(resize, int):  # ConvNeXt enlarges small images before it crops them
        resize = int(resize / share) if resize < 384 else (resize, resize)
    elif not crops and isinstance(resize, int):
        raise SettingError(
            f"the processor resizes the shorter side to {resize} and crops nothing, so that inputs differ in shape: "
            f"pass Preprocessing(({resize}, {resize}), {resize}, ...) to crop the centre"
        )
    normalises = bool(getattr(processor, "do_normalize", True))
    mean, std = (tuple(_numbers(getattr(processor, name, None))) for name in ("image_mean", "image_std"))
    if not normalises or not mean:
        mean, std = (0.0,) * (len(mean) or 3), (1.0,) * (len(mean) or 3)
    mean, std = _rescaled(processor, mean, std)
    return _settings(target, resize, getattr(processor, "resample", None), mean, std)


def _rescaled(processor: Any, mean: Sequence[float], std: Sequence[float]) -> tuple[tuple[float, ...], ...]:
    """Return mean and std for pixels in [0, 1], where a processor scales bytes by another factor than 1 / 255."""
    factor = 255 * float(getattr(processor, "rescale_factor", None) or 1 / 255)
    scale = factor if getattr(processor, "do_rescale", True) else 255.0
    offset = 1.0 if getattr(processor, "offset", False) is True else 0.0
    scale = 1.0 if abs(scale - 1) < 1e-6 else scale
    return tuple((one + offset) / scale for one in mean), tuple(one / scale for one in std)


def _of_torchvision_weights(preset: Any) -> Settings:
    resize, crop = _listed(preset.resize_size), getattr(preset, "crop_size", None)
    sides = (_listed(crop or resize)[0], _listed(crop or resize)[-1])  # segmentation networks crop nothing
    return _settings(sides, _side(resize) if crop else sides, preset.interpolation, preset.mean, preset.std)


def _of_compose(compose: Any) -> Settings:
    """Read a sequence of transforms of torchvision, open_clip or timm: resize, crop the centre, normalise."""
    found: Settings = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    for step in compose.transforms:
        name = (getattr(step, "__name__", "") or type(step).__name__).strip("_").lower()
        if name == "resize":
            found |= {"resize": _side(_listed(step.size)), "interpolation": getattr(step, "interpolation", None)}
        elif name in ("centercrop", "centercroporpad"):
            found["size"] = (_listed(step.size)[0], _listed(step.size)[-1])
        elif name == "normalize":
            found |= {"mean": tuple(_numbers(step.mean)), "std": tuple(_numbers(step.std))}
        elif name != "convertimagedtype" and not any(word in name for word in _NEUTRAL):
            raise SettingError(f"the step {shown(step)} has no counterpart: pass Preprocessing(size, resize, ...)")
    if "size" not in found and not isinstance(found.get("resize"), tuple):
        raise SettingError("the transform does not crop images to one size: pass Preprocessing(size, resize, ...)")
    size: Any = found.get("size", found.get("resize"))
    return _settings(size, found.get("resize", size), found.get("interpolation"), found["mean"], found["std"])


def _settings(size: Any, resize: Any, interpolation: object, mean: Sequence[float], std: Sequence[float]) -> Settings:
    sides = (int(size[0]), int(size[1]))
    shorter = resize if isinstance(resize, int) else tuple(map(int, resize))
    whole = {"size": sides, "resize": shorter, "mean": tuple(map(float, mean)), "std": tuple(map(float, std))}
    return whole | {"interpolation": _interpolation(interpolation)}


def _interpolation(value: Any) -> str:
    """Return the name of an interpolation that may be an enumeration of torchvision or PIL, or a number of PIL."""
    if value is None:
        return "bilinear"
    if isinstance(value, int):
        return Image.Resampling(value).name.lower()
    return str(getattr(value, "value", value)).lower()


def _side(size: Sequence[int]) -> int | tuple[int, int]:
    return int(size[0]) if len(size) == 1 else (int(size[0]), int(size[1]))


def _listed(size: Any) -> list[int]:
    return list(size) if isinstance(size, (list, tuple)) else [size]


def _as_dict(processor: Any, name: str) -> dict[str, int]:
    """Return a size of a processor as a dict; old ones are a number, and new ones an object like a dict."""
    value = getattr(processor, name, None)
    if isinstance(value, int):
        return {"height": value, "width": value} if name == "crop_size" else {"shortest_edge": value}
    return {key: side for key, side in dict(value or {}).items() if side is not None}


def _numbers(values: Any) -> list[float]:
    if values is None:
        return []
    # tensors of single precision hold 0.485 as 0.48500001
    return [round(float(value), 7) for value in values]
