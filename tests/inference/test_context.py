"""All shared state is one RunContext in one ContextVar."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

import fusioncam
from fusioncam.errors import FlatHeatmapWarning
from fusioncam.inference.cache import cached_passes, prefetch_layers, uncached
from fusioncam.inference.context import RunContext, current_context, image_names
from fusioncam.inference.costs import count_passes, track_cost
from fusioncam.methods.base import warn_if_flat

BLOCKS = [
    (cached_passes, "cached_passes"),
    (lambda: prefetch_layers(torch.zeros(1), ["conv"]), "prefetched"),
    (count_passes, "counters"),
    (track_cost, "costs"),
    (lambda: image_names(["cat.jpg"]), "image_names"),
]


def test_the_source_holds_one_context_variable():
    """Nothing else is hidden: state goes into the fields of RunContext."""
    files = Path(fusioncam.__file__).parent.rglob("*.py")
    found = {path.name: count for path in files if (count := path.read_text().count("ContextVar("))}
    assert found == {"context.py": 1}


@pytest.mark.parametrize(("block", "field"), BLOCKS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_block_restores_what_it_replaced(block, field):
    """After the block, also after an error, the context equals the one before it."""
    before = current_context()

    def fail():
        with block():
            assert getattr(current_context(), field) != getattr(before, field)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert current_context() == before == RunContext()


def test_blocks_replace_only_their_own_field():
    """Nested blocks keep the fields of the outer ones."""
    with cached_passes(), image_names(["cat.jpg"]), count_passes() as counter:
        context = current_context()
        assert context.cached_passes == {}
        assert context.image_names == ["cat.jpg"]
        assert context.counters == (counter,)
        with uncached():
            assert current_context().cached_passes is None
            assert current_context().counters == (counter,)
        assert current_context() == context


def test_blocks_may_end_out_of_order():
    """A suspended generator that ends first does not end the block around its caller."""

    def steps():
        with image_names(["cat.jpg"]):
            yield

    generator = steps()
    next(generator)
    with count_passes() as counter:
        generator.close()
        assert current_context().image_names == ()
        assert current_context().counters == (counter,)


def test_warnings_use_the_names_of_the_images():
    """A warning about an image of the batch states its name."""
    with image_names(["cat.jpg", "dog.jpg"]), warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FlatHeatmapWarning, match=r"^dog\.jpg: "):
            warn_if_flat(torch.tensor([[0.0, 1.0], [0.5, 0.5]]), "grad-cam")
