"""Find the dotted name of a layer that the user passed in any form."""

from __future__ import annotations

import re

from torch import nn

from fusioncam.errors import LayerError
from fusioncam.inference.hooks import find


def layer_name(network: nn.Module, layer: object) -> str:
    """Return the dotted name of a layer: a name, also with indices, a module, a function, or a list of one.

    A name may lack the parts that torch.compile and DataParallel add, or have them where the network does not.

    Raises :class:`LayerError` with the name to write if the layer is none of these or not part of the network.
    """
    if isinstance(layer, (list, tuple)):
        if len(layer) == 1:
            return layer_name(network, layer[0])
        names = ", ".join(repr(layer_name(network, part)) for part in layer)
        raise LayerError(f"expected one layer, got {len(layer)}: {names or 'an empty list'}; pass the name of one")
    if isinstance(layer, nn.Module):
        return _name_of_module(network, layer)
    if callable(layer):  # from the network to a module or a name
        return layer_name(network, layer(network))
    if not isinstance(layer, str):
        raise LayerError(
            f"expected the dotted name of a layer such as {_example(network)!r}, or a module of the network, "
            f"got {type(layer).__name__} {layer!r}"
        )
    known = [name for name, _ in network.named_modules(remove_duplicate=False)]
    name = layer if layer in known else _without_indices(network, layer)
    if name not in known:
        same = [other for other in known if _without_wrappers(other) == _without_wrappers(name)]
        name = str(same[0]) if len(same) == 1 else name
    find(network, name)
    return name


def _without_wrappers(name: str) -> str:
    """Return the name without the parts that torch.compile and DataParallel add.

    >>> _without_wrappers("_orig_mod.layer4"), _without_wrappers("module.backbone._orig_mod.layer4")
    ('layer4', 'backbone.layer4')
    """
    return ".".join(part for part in name.split(".") if part not in ("_orig_mod", "module"))


def _name_of_module(network: nn.Module, layer: nn.Module) -> str:
    names = [name for name, module in network.named_modules() if module is layer]
    if names and names[0]:
        return str(names[0])
    reason = "the network itself" if names else "not part of this network (a copy has other modules)"
    raise LayerError(
        f"the module {type(layer).__name__} passed as layer is {reason}; "
        f"pass the dotted name of a layer, such as {_example(network)!r}"
    )


def _example(network: nn.Module) -> str:
    return next(reversed([name for name, _ in network.named_children()]), "layer4")


def _without_indices(network: nn.Module, layer: str) -> str:
    """Return ``layer4.1`` for ``layer4[-1]`` or ``["layer4"][1]``; unchanged if no module has that name."""
    dotted = re.sub(r"\[\s*['\"]?([^\]'\"]*)['\"]?\s*\]", r".\1", layer.strip()).strip(".")
    parts: list[str] = []
    for part in dotted.split("."):
        module = dict(network.named_modules(remove_duplicate=False)).get(".".join(parts))
        if part.startswith("-") and part[1:].isdigit() and module is not None:
            children = [name for name, _ in module.named_children()]
            part = children[int(part)] if int(part[1:]) <= len(children) else part
        parts.append(part)
    name = ".".join(parts)
    return name if name in dict(network.named_modules(remove_duplicate=False)) else layer
