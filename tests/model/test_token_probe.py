"""Test that the order of tokens is verified: a changed part of the image changes the tokens of that part."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusioncam import ExplainedModel
from fusioncam.errors import LayerError
from fusioncam.model.layouts import Layout
from fusioncam.model.token_probe import _agrees, probe_images, verified

PATCH = 8


class Ordered(nn.Module):
    """Patches in an order of choice, and attention to all of them."""

    def __init__(self, order):
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 12, PATCH, PATCH), nn.LayerNorm(12)
        self.block, self.head = nn.TransformerEncoderLayer(12, 2, 24, batch_first=True), nn.Linear(12, 3)
        self.order = order

    def forward(self, x):
        """Return the mean scores of the tokens."""
        return self.head(self.block(self.norm(self.order(self.patches(x)))).mean(1))


def rows(maps):
    """Return tokens row by row."""
    return maps.flatten(2).mT


def columns(maps):
    """Return tokens column by column."""
    return maps.mT.flatten(2).mT


def windows(maps):
    """Return tokens window by window."""
    return maps.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 3, 5, 2, 4, 1).flatten(1, 4)


def mirrored(maps):
    """Return tokens row by row, from right to left."""
    return rows(maps.flip(-1))


def rolled(maps):
    """Return tokens shifted by two columns."""
    return rows(maps.roll(2, -1))


@pytest.mark.parametrize("layer", ["norm", "block"])
@pytest.mark.parametrize("sides", [(4, 4), (4, 8), (8, 6)])
@pytest.mark.parametrize("order", [rows, columns])
def test_rows_and_columns_are_read_in_their_order(order, sides, layer):
    """Also after attention to all tokens, where a change of one token changes all."""
    torch.manual_seed(0)
    network, x = Ordered(order).eval(), torch.rand(2, 3, PATCH * sides[0], PATCH * sides[1])
    maps = network.patches(x)
    tokens = network.norm(order(maps))
    expected = (tokens if layer == "norm" else network.block(tokens)).detach()

    record = ExplainedModel(network, layer).record(x, 0).activations

    assert record.shape == (2, 12, *sides)
    torch.testing.assert_close(order(record), expected)


@pytest.mark.parametrize("sides", [(64, 64), (64, 96), (96, 96)])
def test_hiera_is_read_in_the_order_of_its_locations_or_not_at_all(sides):
    """Its blocks sort tokens by windows until the last stage; the order is what the network itself undoes."""
    hiera = pytest.importorskip("timm.models.hiera")
    network = hiera.Hiera(sides, embed_dim=16, num_heads=1, stages=(1, 1, 2, 1), num_classes=5).eval()
    x = torch.rand(1, 3, *sides)
    _, expected = network.forward_intermediates(x, norm=False)
    assert network.stage_ends == [0, 1, 3, 4]
    for block in (0, 1, 2, 3):
        with pytest.raises(LayerError, match="not in the order of their locations"):
            ExplainedModel(network, f"blocks.{block}").record(x, 0)
    torch.testing.assert_close(ExplainedModel(network, "blocks.4").record(x, 0).activations, expected[-1])
    assert ExplainedModel(network).layer_for(x) == "blocks.4"


@pytest.mark.parametrize("grid", [None, (8, 8)])
@pytest.mark.parametrize("layer", [None, "norm", "block"])
@pytest.mark.parametrize("order", [windows, mirrored, rolled])
def test_other_orders_are_reported(order, layer, grid):
    """The error states the cause, and the maps before the tokens are read."""
    network, x = Ordered(order), torch.rand(1, 3, 8 * PATCH, 8 * PATCH)

    with pytest.raises(LayerError, match="not in the order of their locations"):
        ExplainedModel(network, layer, grid=grid).record(x, 0)
    assert ExplainedModel(network, "patches").record(x, 0).activations.shape == (1, 12, 8, 8)


def test_each_grid_is_probed_once(monkeypatch):
    """The tokens of one grid share a pass of two images."""
    network, x = Ordered(rows), torch.rand(1, 3, 4 * PATCH, 4 * PATCH)
    model, batches = ExplainedModel(network, "norm"), []
    network.register_forward_pre_hook(lambda module, args: batches.append(len(args[0])))
    model.record(x, 0)
    first = batches.count(2)

    model.record(x, 1, "block")
    model.record(x + 1, 1, "block")

    assert first == batches.count(2) == 2  # the traced pass and the probe


def test_shift_by_two_tokens_is_noticed():
    """A wrong number of class and register tokens moves every location."""
    layout = Layout((14, 14), False, 2)
    changed = torch.zeros(198, dtype=torch.bool)
    maps = torch.zeros(14, 14, dtype=torch.bool)
    maps[0:3, 7:10] = True
    changed[2:] = maps.flatten()

    assert _agrees(layout, changed.tolist())
    assert not _agrees(Layout((14, 14), False, 0, 2), changed.tolist())


@pytest.mark.parametrize("found", [lambda maps: maps[1, 7].zero_(), lambda maps: maps[0:6, 4:13].fill_(True)])
def test_dead_locations_and_wide_fields_agree(found):
    """One location without a change, and changes around the part, show no other order."""
    maps = torch.zeros(14, 14, dtype=torch.bool)
    maps[0:3, 7:10] = True
    found(maps)

    assert _agrees(Layout((14, 14), False), maps.flatten().tolist())


def test_probe_changes_the_pixels_of_its_locations():
    """The other pixels are those of the image; where pixels remain, one location more changes on each side."""
    image, changed = torch.zeros(1, 1, 28, 28), torch.ones(1, 1, 28, 28)

    both = probe_images(image, changed, (14, 14))

    assert not both[0].any()
    assert both[1, 0, 0:6, 14:20].all()
    assert both[1].sum() == 36
    assert probe_images(image, changed, (9, 9))[1].sum() > 9 * (28 / 9) ** 2


def test_pass_without_partial_changes_shows_nothing():
    """Without any output of that many tokens, the layout is kept."""
    layout = Layout((2, 2), False)

    assert verified(layout, [], "block", 4) is layout
