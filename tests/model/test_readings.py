"""Test how outputs are read as feature maps: by the maps of the traced pass, and where these tie, by modules."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusioncam import ExplainedModel
from fusioncam.errors import LayerError, SettingError

SIZE = 8


class Tokens(nn.Module):
    """Patches of an image, with ``before`` and ``after`` learned tokens, and a transformer."""

    def __init__(self, before=0, after=0, linear=False):
        super().__init__()
        self.patches = nn.Linear(3 * SIZE * SIZE, 12) if linear else nn.Conv2d(3, 12, SIZE, SIZE)
        self.before, self.after = nn.Parameter(torch.randn(before, 12)), nn.Parameter(torch.randn(after, 12))
        self.block = nn.TransformerEncoderLayer(12, 2, 24, batch_first=True)
        self.head = nn.Linear(12, 3)

    def embed(self, x):
        """Return the tokens of the patches."""
        if isinstance(self.patches, nn.Linear):
            patches = nn.functional.unfold(x, SIZE, stride=SIZE).mT
            return self.patches(patches)
        return self.patches(x).flatten(2).mT

    def forward(self, x):
        """Return the scores of all tokens."""
        ends = [tokens.expand(len(x), -1, -1) for tokens in (self.before, self.after)]
        return self.head(self.block(torch.cat([ends[0], self.embed(x), ends[1]], 1)).mean(1))


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("grid", [None, (3, 4)])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 0), (0, 5), (2, 3), (0, 40), (30, 30)])
def test_tokens_of_the_patches_are_found(before, after, grid, linear):
    """Tokens that do not depend on the image are left out, wherever they are and however many."""
    torch.manual_seed(0)
    network = Tokens(before, after, linear).eval()
    model, x = ExplainedModel(network, "block", grid=grid), torch.randn(2, 3, 3 * SIZE, 4 * SIZE)
    outputs = []
    handle = network.block.register_forward_hook(lambda module, args, output: outputs.append(output.detach()))
    network(x)
    handle.remove()

    maps = model.record(x, 0).activations

    expected = outputs[0][:, before : before + 12].mT.reshape(2, 12, 3, 4)
    assert torch.allclose(maps, expected, atol=1e-5)
    assert ExplainedModel(network).layers.default(x) in ("block", "block.norm2")


class Decoder(nn.Module):
    """Queries, as in DETR, that attend to the maps of a convolution."""

    def __init__(self, queries, flat=False):
        super().__init__()
        self.stem, self.flat = nn.Conv2d(3, 8, SIZE, SIZE), flat
        self.queries = nn.Parameter(torch.randn(queries, 8))
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.decoder = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        """Return the mean scores of the queries."""
        tokens = self.stem(x).flatten(2).mT
        queries = self.queries.expand(len(x), -1, -1)
        if self.flat:
            return self.head(self.norm(self.attend(query=queries, key=tokens, value=tokens)[0])).mean(1)
        return self.head(self.decoder(queries, tokens).mean(1))


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("queries", [9, 16, 17, 25, 100])
def test_queries_of_a_decoder_are_not_locations(queries, flat):
    """Neither a square number of queries nor the number of locations makes them a grid."""
    network, x = Decoder(queries, flat), torch.rand(1, 3, 32, 32)

    assert ExplainedModel(network).layers.default(x) == "stem"
    with pytest.raises(LayerError, match="queries of a decoder"):
        ExplainedModel(network, "norm" if flat else "decoder").record(x, 0)


class Signal(nn.Module):
    """A 1-D network whose sequence has as many features as steps, or another number."""

    def __init__(self, features, sequence):
        super().__init__()
        self.conv = nn.Conv1d(2, features, 4, 4)
        self.sequence = sequence(features)
        self.wrapped = nn.Sequential(self.conv, nn.ReLU())
        self.head = nn.Linear(features, 3)

    def forward(self, x):
        """Return the mean scores of the steps."""
        output = self.sequence(self.wrapped(x).mT)
        return self.head((output[0] if isinstance(output, tuple) else output).mean(1))


@pytest.mark.parametrize("features", [4, 25, 48, 100])
@pytest.mark.parametrize(
    "sequence",
    [
        lambda features: nn.GRU(features, features, batch_first=True),
        lambda features: nn.LayerNorm(features),
        lambda features: nn.Sequential(nn.Linear(features, features), nn.ReLU()),
        lambda features: nn.TransformerEncoderLayer(features, 1, 8, batch_first=True),
    ],
)
def test_steps_of_a_signal_are_its_locations(sequence, features):
    """A sequence (N, steps, features) is read along its steps, also with as many features as steps."""
    network, x = Signal(features, sequence).eval(), torch.rand(2, 2, 100)

    assert ExplainedModel(network, "sequence").record(x, 0).activations.shape == (2, features, 25)
    assert ExplainedModel(network, "wrapped").record(x, 0).activations.shape == (2, features, 25)
    maps = ExplainedModel(network, "sequence").record(x, 0).activations
    with torch.no_grad():
        output = network.sequence(network.wrapped(x).mT)
    assert torch.allclose(maps, (output[0] if isinstance(output, tuple) else output).mT, atol=1e-6)


@pytest.mark.parametrize("width", [96, 100, 128])
def test_columns_of_a_line_are_one_row(width):
    """A sequence of columns is a row of the maps that were squeezed, whatever grid has as many locations."""
    network = nn.Sequential(
        nn.Conv2d(1, 8, 4, 4), nn.Conv2d(8, 8, (8, 1)), nn.Flatten(2), Transpose(), nn.LayerNorm(8)
    )
    network = nn.Sequential(*network, Mean(), nn.Linear(8, 3))
    x = torch.rand(2, 1, 32, width)

    assert ExplainedModel(network, "4").record(x, 0).activations.shape == (2, 8, 1, width // 4)


class Recurrent(nn.Module):
    """A recurrent network over the columns of maps, of which the rows are averaged or become channels."""

    def __init__(self, merge):
        super().__init__()
        self.merge, self.stem = merge, nn.Conv2d(1, 6, 4, 4)
        self.steps = nn.GRU(6 * 4 if merge else 6, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        """Return the mean scores of the columns."""
        maps = self.stem(x)
        columns = maps.permute(0, 3, 1, 2).flatten(2) if self.merge else maps.mean(2).mT
        return self.head(self.steps(columns)[0].mean(1))


@pytest.mark.parametrize("merge", [False, True])
def test_columns_of_pooled_rows_are_one_row(merge):
    """As many steps as the last maps have columns are a row; where they could be rows too, the error lists both."""
    network = Recurrent(merge)

    assert ExplainedModel(network, "steps").record(torch.rand(2, 1, 16, 100), 0).activations.shape == (2, 8, 1, 25)
    x = torch.rand(2, 1, 16, 16)
    with pytest.raises(LayerError, match=r"8 maps of 4 x 1 locations; .* 8 maps of 1 x 4"):
        ExplainedModel(network, "steps").record(x, 0)
    assert ExplainedModel(network, "steps", grid=(1, 4)).record(x, 0).activations.shape == (2, 8, 1, 4)


class Transpose(nn.Module):
    """Swap channels and locations."""

    def forward(self, x):
        """Return ``(N, T, K)``."""
        return x.mT


class Mean(nn.Module):
    """Pool tokens."""

    def forward(self, x):
        """Return ``(N, K)``."""
        return x.square().mean(1)


class Functional(nn.Module):
    """Maps of as many channels as columns, without a module that has either layout."""

    def __init__(self, last):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 3, 4, 4))
        self.tanh, self.head, self.last = nn.Tanh(), nn.Linear(8, 3), last

    def forward(self, x):
        """Return the mean scores of the locations."""
        maps = nn.functional.conv2d(x, self.weight, stride=4)
        maps = self.tanh(maps.movedim(1, -1) if self.last else maps)
        return self.head(maps.mean((1, 2) if self.last else (2, 3)))


@pytest.mark.parametrize("last", [False, True])
def test_equal_readings_are_listed(last):
    """Where nothing decides between the readings, the error lists them and asks."""
    with pytest.raises(LayerError, match=r"several ways: channels first, 8 maps of 8 x 8.*channels last.*grid="):
        ExplainedModel(Functional(last), "tanh").record(torch.rand(1, 3, 32, 32), 0)


class Swapped(nn.Module):
    """A network that transposes its input, as some do with spectrograms."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 4, 8, 8), nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x):
        """Return the mean scores of the tokens."""
        return self.head(self.norm(self.conv(x.mT).flatten(2).mT).square().mean(1))


@pytest.mark.parametrize("grid", [None, (4, 2)])
def test_transposed_input_is_read_in_its_own_order(grid):
    """The maps have the rows and columns of the input."""
    network, x = Swapped(), torch.rand(1, 1, 32, 16)
    with torch.no_grad():
        maps = network.conv(x.mT)

    assert torch.allclose(ExplainedModel(network, "conv", grid=grid).record(x, 0).activations, maps.mT)
    tokens = ExplainedModel(network, "norm", grid=grid).record(x, 0).activations
    assert torch.allclose(tokens, network.norm(maps.movedim(1, -1)).movedim(-1, 1).mT.detach(), atol=1e-6)


@pytest.mark.parametrize(
    ("strides", "shape"), [([(1, 2), (1, 2), (1, 1)], (1, 64, 64)), ([(2, 1), (1, 4), (1, 2)], (1, 32, 96))]
)
def test_maps_that_shrink_along_one_side_are_found(strides, shape):
    """The default is the last layer, also where its sides are out of proportion to the input."""
    channels = [1, 4, 5, 6]
    convs = [nn.Conv2d(channels[i], channels[i + 1], 3, stride, 1) for i, stride in enumerate(strides)]
    network = nn.Sequential(*convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))

    assert ExplainedModel(network).layers.default(torch.rand(1, *shape)) == "2"


class Beside(nn.Module):
    """A convolution that runs last and does not influence the scores."""

    def __init__(self, kind):
        super().__init__()
        self.stem, self.beside, self.head = nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 1, 1), nn.Linear(4, 3)
        self.kind = kind

    def forward(self, x):
        """Return the mean scores of the stem's maps."""
        maps = self.stem(x)
        scores = self.head(maps.mean((2, 3)))
        beside = self.beside(maps)
        if self.kind == "detached":
            scores = scores + beside.mean((1, 2, 3))[:, None].detach()
        return scores + 0 * beside.sum() if self.kind == "zero" else scores


@pytest.mark.parametrize("kind", ["unused", "detached", "zero"])
def test_layer_without_influence_is_not_the_default(kind):
    """Auxiliary decoders and detached masks that run last are passed over."""
    assert ExplainedModel(Beside(kind)).layers.default(torch.rand(1, 3, 32, 32)) == "stem"


class Views(nn.Module):
    """An encoder for two views, that runs twice or on both in one batch."""

    def __init__(self, stacked):
        super().__init__()
        self.encoder, self.head, self.stacked = nn.Conv2d(3, 4, 4, 4), nn.Linear(8, 3), stacked

    def forward(self, x):
        """Return the scores of the pair."""
        views = x.split(3, 1)
        maps = self.encoder(torch.cat(views)).chunk(2) if self.stacked else [self.encoder(view) for view in views]
        return self.head(torch.cat([one.mean((2, 3)) for one in maps], 1))


@pytest.mark.parametrize("layer", [None, "encoder"])
@pytest.mark.parametrize(("stacked", "message"), [(False, "'encoder' ran 2 times.*views"), (True, "2 views, frames")])
def test_shared_encoder_is_named_as_the_cause(stacked, message, layer):
    """The error does not ask for larger images."""
    model = ExplainedModel(Views(stacked), layer)

    with pytest.raises(LayerError, match=message) as error:
        model.record(torch.rand(2, 6, 32, 32), 0)
    assert "larger" not in str(error.value)


class Attention(nn.Module):
    """A transformer that computes its attention matrix in a module, behind a class token."""

    def __init__(self, heads):
        super().__init__()
        self.stem, self.norm, self.attend = nn.Conv2d(3, 8, SIZE, SIZE), nn.LayerNorm(8), nn.Softmax(-1)
        self.token, self.heads, self.head = nn.Parameter(torch.randn(1, 8)), heads, nn.Linear(8, 3)

    def forward(self, x):
        """Return the scores of the class token."""
        tokens = self.norm(torch.cat([self.token.expand(len(x), -1, -1), self.stem(x).flatten(2).mT], 1))
        parts = tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2) if self.heads else tokens
        mixed = self.attend(parts @ parts.mT) @ parts
        return self.head((mixed.transpose(1, 2).flatten(2) if self.heads else mixed)[:, 0])


@pytest.mark.parametrize("heads", [0, 2])
def test_attention_matrices_are_no_maps(heads):
    """Neither the automatic layer nor a named one reads a matrix from tokens to tokens as a map."""
    network, x = Attention(heads), torch.rand(2, 3, 4 * SIZE, 4 * SIZE)

    assert ExplainedModel(network).layers.default(x) == "norm"
    with pytest.raises(LayerError, match="relate tokens to tokens"):
        ExplainedModel(network, "attend").record(x, 0)


class Prompts(nn.Module):
    """Compare maps with text prompts that run in the same pass, of as many words as there are locations."""

    def __init__(self, prompts):
        super().__init__()
        self.stem, self.words = nn.Conv2d(3, 8, SIZE, SIZE), torch.arange(9 * prompts).reshape(prompts, 9)
        self.embed, self.norm = nn.Embedding(9 * prompts, 8), nn.LayerNorm(8)

    def forward(self, x):
        """Return the products with the prompts."""
        return self.stem(x).mean((2, 3)) @ self.norm(self.embed(self.words)).mean(1).T


@pytest.mark.parametrize("prompts", [2, 3])
def test_text_is_no_map(prompts):
    """Two prompts are not mistaken for the two images of the traced pass."""
    layers = ExplainedModel(Prompts(prompts)).layers
    x = torch.rand(1, 3, 3 * SIZE, 3 * SIZE)

    assert layers.default(x) == "stem"
    assert [candidate.name for candidate in layers.candidates(x)] == ["stem"]


class Summary(nn.Module):
    """Patches between tokens that are computed from the image, by an operation without a module."""

    def __init__(self):
        super().__init__()
        self.weight, self.norm, self.head = (
            nn.Parameter(torch.randn(8, 3, SIZE, SIZE)),
            nn.LayerNorm(8),
            nn.Linear(8, 3),
        )

    def forward(self, x):
        """Return the mean scores of all tokens."""
        patches = nn.functional.conv2d(x, self.weight, stride=SIZE).flatten(2).mT
        return self.head(self.norm(torch.cat([patches[:, :1], patches, patches[:, :2]], 1)).square().mean(1))


def test_passed_tokens_are_used():
    """``grid``, ``prefix`` and ``suffix`` state what the pass cannot show; the error names them."""
    network, x = Summary(), torch.rand(2, 3, 3 * SIZE, 4 * SIZE)
    model = ExplainedModel(network, "norm", grid=(3, 4), prefix=1, suffix=2)
    patches = nn.functional.conv2d(x, network.weight, stride=SIZE).movedim(1, -1)
    expected = network.norm(patches).movedim(-1, 1).detach()

    for same in (model, model.with_layer("norm"), model.with_network(network)):
        assert torch.allclose(same.record(x, 0).activations, expected, atol=1e-5)
    for layer in (None, "norm"):
        with pytest.raises(LayerError, match=r"grid=\(rows, columns\), prefix=..., suffix=") as error:
            ExplainedModel(network, layer).record(x, 0)
        assert "larger" not in str(error.value)
    with pytest.raises(LayerError, match="passed number of others"):
        ExplainedModel(network, "norm", grid=(3, 4), prefix=1).record(x, 0)


@pytest.mark.parametrize("settings", [{"grid": (3, 0)}, {"grid": ()}, {"prefix": -1}, {"suffix": -2}])
def test_wrong_numbers_of_tokens_are_refused(settings):
    """The message names the argument and its value."""
    (name,) = settings
    with pytest.raises(SettingError, match=f"{name} is .*got"):
        ExplainedModel(Summary(), **settings)


def test_tokens_before_the_images_are_named_as_the_cause():
    """Sequences (T, N, K) are not taken for views."""
    network = nn.Sequential(nn.Conv2d(3, 8, SIZE, SIZE), nn.Flatten(2), First(), nn.LayerNorm(8), First(), Mean())
    with pytest.raises(LayerError, match=r"tokens before the images.*batch_first"):
        ExplainedModel(network, "3").record(torch.rand(2, 3, 4 * SIZE, 4 * SIZE), 0)


class First(nn.Module):
    """Exchange the first and the last dimension for the others."""

    def forward(self, x):
        """Return ``(T, N, K)`` of ``(N, K, T)``, and ``(N, T, K)`` of that."""
        return x.permute(2, 0, 1) if x.shape[0] < 3 else x.transpose(0, 1)


def test_network_without_weights_is_read_by_the_number_of_its_tokens():
    """Where no token depends on the image, none is taken for a class token or a query."""
    network = Attention(2)
    for parameter in network.parameters():
        parameter.data.zero_()

    assert ExplainedModel(network, "norm").record(torch.rand(2, 3, 32, 32), 0).activations.shape == (2, 8, 4, 4)


def test_tracing_does_not_use_the_global_random_state():
    """The second image of the traced pass has a generator of its own."""
    model, x = ExplainedModel(Tokens(1)), torch.rand(1, 3, 16, 16)
    state = torch.get_rng_state()

    model.layers.default(x)

    assert torch.get_rng_state().equal(state)
