"""Networks of several inputs: two images, an image with numbers or text, all in one dict or tuple."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fusioncam import METHODS, METRICS, ExplainedModel, Preprocessing, explain
from fusioncam.errors import InputTypeError, LayerError, ShapeError
from fusioncam.methods.registry import as_method
from toys import CLASSES, Fixed, Pool


class Pair(nn.Module):
    """Compares two images by the channels of one shared layer."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Sequential(Fixed([[1, 0, 0], [0, 1, -1], [0.5, 1, 1]]), nn.ReLU())
        self.head = nn.Sequential(Pool(), nn.Linear(3, CLASSES, dtype=torch.float64))

    def compare(self, left: Tensor, right: Tensor) -> Tensor:
        """Return scores ``(N, classes)``."""
        return self.head(self.shared(left) * self.shared(right).mean((2, 3), keepdim=True))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Return scores ``(N, classes)``."""
        return self.compare(left, right)


class InOneDict(Pair):
    """Takes one dict."""

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Return scores ``(N, classes)``."""
        return self.compare(batch["left"], batch["right"])


class InOneTuple(Pair):
    """Takes one tuple."""

    def forward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return scores ``(N, classes)``."""
        left, right = batch
        return self.compare(left, right)


class KeywordOnly(Pair):
    """Takes keywords, with the images in the reverse order."""

    def forward(self, *, right: Tensor, left: Tensor) -> Tensor:
        """Return scores ``(N, classes)``."""
        return self.compare(left, right)


class Table(nn.Module):
    """Multiplies the channels of the image by the numbers of a patient."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(Fixed([[1, 0, 0], [0, 1, 0], [0, 1, 1]]), nn.ReLU())
        self.head = nn.Sequential(Pool(), nn.Linear(3, CLASSES, dtype=torch.float64))

    def forward(self, image: Tensor, table: Tensor, words: list[str] | None = None) -> Tensor:
        """Return scores ``(N, classes)``."""
        if words is not None:
            assert len(words) == len(image)
        return self.head(self.conv(image) * torch.cat([table, table[:, :1]], 1)[:, :, None, None])


@pytest.fixture
def images():
    """Return two images with a bright square each, at different locations."""
    generator = torch.Generator().manual_seed(0)
    left, right = torch.rand(2, 1, 3, 12, 12, generator=generator, dtype=torch.float64) / 10
    left[..., 1:4, 1:4] += 1
    right[..., 7:10, 8:11] += 1
    return left, right


def grad_cam(network: Pair, left: Tensor, right: Tensor, target: int) -> Tensor:
    """Return Grad-CAM of the left image by plain autograd."""
    maps = network.shared(left).detach().requires_grad_()
    score = network.head(maps * network.shared(right).mean((2, 3), keepdim=True))[:, target].sum()
    (gradient,) = torch.autograd.grad(score, maps)
    cam = (maps * gradient.mean((2, 3), keepdim=True)).sum(1).relu().detach()
    return (cam - cam.amin()) / (cam.amax() - cam.amin())


def positive(network: nn.Module) -> nn.Module:
    """Return the network with weights for which every channel speaks for every class, and others for some."""
    torch.manual_seed(1)
    network.head[1].weight.data.uniform_(0.2, 1)
    return network.eval()


@pytest.mark.parametrize(
    ("kind", "inputs", "settings"),
    [
        (Pair, "tuple", {}),
        (Pair, "dict", {"vary": "left"}),
        (Pair, "extra", {"vary": "left"}),
        (KeywordOnly, "dict", {"vary": "left"}),
        (KeywordOnly, "extra", {"vary": "left"}),
        (InOneDict, "dict", {"vary": "left"}),
        (InOneDict, "extra", {"vary": "left"}),
        (InOneTuple, "tuple", {}),
        (Pair, "position", {"vary": 0}),
    ],
)
def test_every_form_of_inputs_equals_plain_autograd(images, kind, inputs, settings):
    """The layer runs on both images, and the run on the left one has the maps."""
    left, right = images
    network = positive(kind())
    extra = {"right": right} if inputs == "extra" else (right,) if inputs == "position" else None
    x = {"tuple": (left, right), "dict": {"left": left, "right": right}}.get(inputs, left)
    model = ExplainedModel(network, extra=extra, **settings)

    heatmap = METHODS["grad-cam"](model, x, 1)

    torch.testing.assert_close(heatmap, grad_cam(network, left, right, 1), rtol=0, atol=1e-6)


def test_each_varied_image_has_a_heatmap_on_its_own_square(images):
    """And moving one square moves that heatmap alone."""
    left, right = images
    model = ExplainedModel(positive(Pair()), vary=("left", "right"))
    maps = METHODS["score-cam"](model, {"left": left, "right": right}, 1)
    moved = METHODS["score-cam"](model, {"left": left.roll(5, -1), "right": right}, 1)
    pair = METHODS["score-cam"](ExplainedModel(positive(Pair()), vary=(0, 1)), (left, right), 1)

    assert peak(maps["left"]) == (2, 2)
    assert peak(maps["right"]) == (8, 9)
    assert peak(moved["left"]) == (2, 7)
    torch.testing.assert_close(moved["left"], maps["left"].roll(5, -1))
    torch.testing.assert_close(pair, (maps["left"], maps["right"]))


def peak(heatmap: Tensor) -> tuple[int, int]:
    """Return the row and column of the centre of the highest part."""
    rows, columns = (heatmap[0] > 0.5).nonzero().double().mean(0).round().int().tolist()
    return rows, columns


def test_flipping_the_image_flips_the_heatmap(images):
    """The other image stays as it is."""
    left, right = images
    model = ExplainedModel(positive(Pair()), extra=(right,))
    for method in ("layer-cam", "recipro-cam", "ablation-cam"):
        heatmap, flipped = (METHODS[method](model, x, 0) for x in (left, left.flip(-1)))
        torch.testing.assert_close(flipped.flip(-1), heatmap)


@pytest.mark.parametrize("method", ["grad-cam", "score-cam", "ablation-cam", "fusion-cam(budget=2)", "rise(masks=8)"])
def test_a_batch_of_patients_equals_single_ones(images, method):
    """Each image goes along with its own row of the table, in all passes; words are repeated too."""
    x, tables = torch.cat(images), torch.tensor([[1.0, 0.2], [0.1, 3.0]])
    network, explain = positive(Table()), as_method(method)[1]
    both = explain(ExplainedModel(network, extra={"table": tables, "words": ["a", "b"]}, vary="image"), x, [0, 1])
    single = [explain(ExplainedModel(network, extra={"table": tables[n : n + 1]}), x[n : n + 1], [n]) for n in (0, 1)]

    torch.testing.assert_close(both, torch.cat(single))
    assert (both[0] - both[1]).abs().max() > 1e-3


def test_metrics_use_the_rows_of_their_images(images):
    """Also curves, which are not in the order (N, T)."""
    x, tables = torch.cat(images), torch.tensor([[1.0, 0.2], [0.1, 3.0]])
    network = positive(Table())
    model = ExplainedModel(network, extra={"table": tables})
    heatmaps = torch.rand(2, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    for name in ("average-drop", "insertion(steps=3)"):
        metric = METRICS[name]
        single = [
            metric(ExplainedModel(network, extra=(tables[n : n + 1],)), x[n : n + 1], [1], heatmaps[n : n + 1])
            for n in (0, 1)
        ]
        torch.testing.assert_close(metric(model, x, 1, heatmaps), torch.cat(single))
    assert METRICS["insertion(steps=3)"].curve(model, x, 1, heatmaps).shape == (4, 2)


def test_a_callable_input_is_called_with_the_number_of_rows(images):
    """For inputs that must not be repeated, and those that are made for a batch."""
    asked = []

    def table(rows: int) -> Tensor:
        asked.append(rows)
        return torch.ones(rows, 2, dtype=torch.float64)

    METHODS["score-cam"](ExplainedModel(positive(Table()), extra={"table": table}), images[0], 1)
    assert {1, 2} < set(asked)


def test_a_fixed_image_inside_a_wrapper_needs_no_setting(images):
    """The run on the fixed image does not depend on x, so the other one has the maps."""
    left, right = images
    network = positive(Pair())

    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wrapped = network

        def forward(self, x: Tensor) -> Tensor:
            return self.wrapped(x, right.expand(len(x), -1, -1, -1))

    for layer in (None, "wrapped.shared"):
        heatmap = METHODS["grad-cam"](ExplainedModel(Wrapper(), layer), left, 1)
        torch.testing.assert_close(heatmap, grad_cam(network, left, right, 1), rtol=0, atol=1e-6)


def test_two_views_of_one_image_have_no_single_run(images):
    """Both runs depend on the image: the error says what to do."""
    network = positive(Pair())

    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wrapped = network

        def forward(self, x: Tensor) -> Tensor:
            return self.wrapped(x, x.flip(-1))

    with pytest.raises(LayerError, match=r"ran 2 times in one pass: .*ExplainedModel\(network, extra="):
        METHODS["grad-cam"](ExplainedModel(Views(), "wrapped.shared"), images[0], 1)


@pytest.mark.parametrize(
    ("settings", "x", "error", "message"),
    [
        ({"extra": torch.ones(1)}, None, InputTypeError, "extra must be a dict of inputs by name, or a tuple"),
        ({"extra": {"left": 1}, "vary": "left"}, None, InputTypeError, "extra has an input 'left', which is the im"),
        ({"extra": (1,), "vary": 2}, None, InputTypeError, "vary must be a position from 0 to 1, got 2"),
        ({"extra": {"right": 1}, "vary": 0}, None, InputTypeError, "vary must be a name, as the inputs in extra"),
        ({"read": 1.5}, None, InputTypeError, "read must be a key such as 'logits', a position"),
        ({}, {"left": 0, "right": 1}, InputTypeError, "which of the inputs left, right is the image"),
        ({"vary": "left"}, {"right": 1}, InputTypeError, "the inputs right lack the image 'left'"),
        ({"vary": "left"}, (1, 2), InputTypeError, "the model's inputs have names, vary='left': pass a dict"),
        ({"extra": {"right": torch.ones(3, 3, 4, 4)}}, torch.ones(2, 3, 4, 4), ShapeError, "3 rows of the input 'r"),
    ],
)
def test_wrong_inputs_are_reported(settings, x, error, message):
    """The message says what was passed and what to pass."""
    with pytest.raises(error, match=message):
        METHODS["grad-cam"](ExplainedModel(Pair().double(), **settings), x, 1)


class OfThesePatients(nn.Module):
    """Adds the table of some patients itself, and so runs on no other batch, and only in this order."""

    def __init__(self, tables: Tensor) -> None:
        super().__init__()
        self.wrapped, self.tables = positive(Table()), tables

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, classes)``."""
        if len(x) != len(self.tables):
            raise RuntimeError("the sizes of tensors must match")
        return self.wrapped(x, self.tables)


def test_a_network_of_one_batch_size_is_scored_in_such_batches():
    """Row n of each batch of masked images is image n, also where a channel is constant and so has no mask."""
    network, x = OfThesePatients(torch.tensor([[1.0, 2.0], [3.0, 0.5]])), torch.rand(2, 3, 8, 8)
    x[0, 0] = 0.5
    for layer in (None, "wrapped.conv"):
        heatmaps = METHODS["score-cam"](ExplainedModel(network, layer), x, 1)

        expected = METHODS["score-cam"](ExplainedModel(network.wrapped, "conv", extra=(network.tables,)), x, 1)
        torch.testing.assert_close(heatmaps, expected)


@pytest.mark.parametrize("method", ["score-cam", "recipro-cam"])
def test_a_network_of_one_image_is_reported(method):
    """Such a network cannot be compared with itself on two images."""
    with pytest.raises(ShapeError, match=r"pass them by ExplainedModel\(network, extra="):
        METHODS[method](ExplainedModel(OfThesePatients(torch.ones(1, 2))), torch.rand(1, 3, 8, 8), 1)


def test_explain_takes_the_other_inputs():
    """As a model that was created with them."""
    image, other = torch.rand(3, 40, 40), torch.rand(1, 3, 40, 40)
    network, preprocessing = Pair().float().eval(), Preprocessing((40, 40), 40)
    model = ExplainedModel(network, preprocessing=preprocessing)
    for settings in ({"extra": {"left": other}, "vary": "right"}, {"extra": (other,)}):
        found = explain(image, model=model, method="score-cam", target=1, **settings)
        same = ExplainedModel(network, preprocessing=preprocessing, **settings)
        expected = explain(image, model=same, method="score-cam", target=1)
        torch.testing.assert_close(found.heatmap, expected.heatmap)
        assert found.probability == expected.probability
