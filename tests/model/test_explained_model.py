"""Test records, scores, layers, validation and thread safety of `ExplainedModel`."""

from __future__ import annotations

import threading
from collections import OrderedDict, namedtuple

import pytest
import torch
from torch import nn

from fusioncam import ExplainedModel, Preprocessing, Speed
from fusioncam.errors import InputTypeError, LayerError, NonFiniteError, ShapeError, TargetError, UnknownNameError
from fusioncam.inference.costs import count_passes
from fusioncam.methods.ablation import WithoutChannel
from fusioncam.methods.gradient import GradCAM
from fusioncam.methods.registry import METHODS
from fusioncam.model.pixel_gradients import mask_gradients
from toys import CLASSES, Fixed, Pool, Toy, Twice, Viewing, linear, problem, signal, volume

# -- records and scores --------------------------------------------------------------------------------------


def test_record_by_hand():
    """On the linear toy A is x itself, and dY/dA is the head's weight divided by the number of locations."""
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64)

    record = ExplainedModel(linear(), "features").record(x, [0, 2])

    assert record.layer == "features"
    torch.testing.assert_close(record.activations, torch.stack([x[:, 0], x[:, 1], x[:, 0] - x[:, 1]], 1))
    expected = torch.tensor([[1.0, 0, 0], [1, -1, 3]], dtype=torch.float64) / 20
    torch.testing.assert_close(record.gradients, expected[:, :, None, None].expand(2, 3, 4, 5))
    torch.testing.assert_close(record.logits, linear()(x).detach())


@pytest.mark.parametrize("readout", ["logit", "probability"])
def test_scores_are_those_of_the_targets(readout):
    """A score is the logit or probability of the image's own target."""
    toy, x, target = problem("small")
    logits = toy(x).detach()
    table = logits if readout == "logit" else logits.softmax(1)

    scores = ExplainedModel(toy, "features").scores(x, target, readout)

    assert scores.tolist() == [pytest.approx(float(table[n, c])) for n, c in enumerate(target)]


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("fill", ["mean", "black"])
def test_masked_scores_equal_single_passes(fill, chunk):
    """The score of each image under each mask is that of a single pass, for any batch size and fill."""
    toy, x, target = problem("small")
    masks = torch.rand(5, 2, 8, 8, dtype=torch.float64)
    preprocessing = Preprocessing((8, 8), 8, mean=(0.5, 0.4, 0.3), std=(0.2, 0.1, 0.3))
    model = ExplainedModel(toy, "features", preprocessing=preprocessing, speed=Speed(chunk))
    black = -torch.tensor([2.5, 4.0, 1.0], dtype=torch.float64).reshape(3, 1, 1) * (fill == "black")

    scores = model.masked_scores(x, masks, target, readout="probability", fill=fill)

    for m, image_masks in enumerate(masks):
        for n, mask in enumerate(image_masks):
            masked = x[n] * mask + black * (1 - mask)
            expected = toy(masked[None]).detach().softmax(1)[0, target[n]]
            assert scores[m, n].item() == pytest.approx(expected.item())


def test_fill_may_depend_on_the_masks():
    """A callable fill gets the images and the masks of each batch."""
    toy, x, target = problem("small")
    masks = torch.rand(3, 2, 8, 8, dtype=torch.float64)
    model = ExplainedModel(toy, "features", speed=Speed(chunk=2))

    scores = model.masked_scores(x, masks, target, readout="logit", fill=lambda images, mask: images * mask[:, None])
    _, gradients = mask_gradients(
        model, x, masks[0], target, readout="logit", fill=lambda images, mask: images * mask[:, None].detach()
    )

    for m, image_masks in enumerate(masks):
        for n, mask in enumerate(image_masks):
            masked = x[n] * mask + x[n] * mask * (1 - mask)
            assert scores[m, n].item() == pytest.approx(toy(masked[None])[0, target[n]].item())
    assert gradients.shape == masks[0].shape


def test_inactive_masks_need_no_pass_and_score_nan():
    """A source may mark masks as not active."""
    toy, x, target = problem("small")

    class Half:
        shape = (3, 2, 8, 8)
        active = torch.tensor([[True, False], [False, False], [True, True]])

        def __getitem__(self, where):
            return torch.ones(len(where[0]), 8, 8, dtype=torch.float64)

    with count_passes() as counter:
        scores = ExplainedModel(toy, "features").masked_scores(x, Half(), target, readout="logit")

    assert counter.passes == 3
    assert scores.isnan().equal(~Half.active)


def test_masks_are_computed_one_batch_at_a_time():
    """The source never has to return more masks than one batch."""
    toy, x, target = problem("small")
    sizes = []

    class Counting:
        shape = (9, 2, 8, 8)

        def __getitem__(self, where):
            sizes.append(len(where[0]))
            return torch.ones(len(where[0]), 8, 8, dtype=torch.float64)

    ExplainedModel(toy, "features", speed=Speed(chunk=4, workers=1)).masked_scores(
        x, Counting(), target, readout="logit"
    )

    assert sizes == [4, 4, 4, 4, 2]


def test_passes_are_counted():
    """Recording an image is one pass, and computing its logits is another."""
    toy, x, target = problem("small", images=3)
    model = ExplainedModel(toy, "features")

    with count_passes() as counter:
        model.record(x, target)
        model.logits(x)

    assert (counter.passes, counter.planned) == (6, 6)


def test_network_that_uses_view_is_supported():
    """Where a `view` fails with channels last, the passes run again with contiguous pixels."""
    network = Viewing()
    x = torch.rand(2, 3, 8, 8)
    model = ExplainedModel(network, "conv")
    expected = torch.stack([network(x * 0.5), network(x)])[:, :, 1].detach()

    for _ in range(2):
        scores = model.masked_scores(x, torch.stack([x[:, 0] * 0 + 0.5, x[:, 0] * 0 + 1]), 1, readout="logit")

    torch.testing.assert_close(scores, expected)


def test_errors_of_the_network_are_raised_unchanged():
    """Any other RuntimeError comes from the network, and the pass is not repeated."""

    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("no such kernel")

    with pytest.raises(RuntimeError, match="no such kernel"):
        ExplainedModel(Broken()).masked_scores(torch.rand(1, 3, 4, 4), torch.ones(1, 1, 4, 4), 0, readout="logit")


# -- layers -------------------------------------------------------------------------------------------------------


def test_last_layer_before_pooling_is_found():
    """The order of execution decides, not the order or the names of the modules."""

    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.z_first = nn.Conv2d(3, 4, 3)
            self.a_last = nn.Sequential(nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Dropout(0.1), nn.Identity())
            self.head = nn.Linear(5, CLASSES)

        def forward(self, x):
            return self.head(self.pool(self.a_last(self.z_first(x))).flatten(1))

    model = ExplainedModel(Backwards())
    x = torch.rand(1, 3, 8, 8)

    assert model.layers.default(x) == "a_last"
    assert [(layer.name, layer.shape) for layer in model.layers.candidates(x)] == [
        ("z_first", (4, 6, 6)),
        ("a_last.0", (5, 4, 4)),
        ("a_last.1", (5, 4, 4)),
        ("a_last", (5, 4, 4)),
    ]
    assert model.record(x, 0).layer == "a_last"


def test_pooling_to_several_pixels_is_not_a_candidate():
    """VGG's adaptive pooling outputs 7 x 7, but the layer is the one before it."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, CLASSES))

    assert ExplainedModel(network).layers.default(torch.rand(1, 3, 8, 8)) == "0"


def test_default_layer_depends_on_the_input_size():
    """Where the last map has one pixel, an earlier layer is used."""
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES)
    )
    model = ExplainedModel(network)

    assert model.layers.default(torch.rand(1, 3, 16, 16)) == "1"
    assert model.layers.default(torch.rand(1, 3, 7, 7)) == "0"


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("relu", "ran 2 times"),
        ("idle", "ran 0 times"),
        ("head", "not feature maps"),
        ("frist", "did you mean 'first'"),
        ("", "no layer ''"),
    ],
)
def test_unusable_layers_are_reported(layer, message):
    """A LayerError states that a layer runs twice or never, has no feature maps, or does not exist."""
    with pytest.raises(LayerError, match=message):
        ExplainedModel(Twice(), layer).record(torch.rand(1, 3, 8, 8), 0)


Named = namedtuple("Named", "maps rest")


class Wraps(nn.Module):
    """A network with a layer that outputs feature maps among other things, as Hugging Face's layers do."""

    def __init__(self, wrap):
        super().__init__()
        self.conv, self.wrapping = nn.Conv2d(3, CLASSES, 3), Wrapping(wrap)

    def forward(self, x):
        """Return the scores of the unwrapped maps."""
        output = self.wrapping(self.conv(x))
        maps = next(iter(output.values() if isinstance(output, dict) else output))
        return maps.flatten(2).square().mean(2)


class Wrapping(nn.Module):
    """A layer that wraps its input by a function."""

    def __init__(self, wrap):
        super().__init__()
        self.wrap = wrap

    def forward(self, x):
        """Return the wrapped maps."""
        return self.wrap(x)


WRAPS = {
    "tuple": lambda x: (x, None),
    "list": lambda x: [x, x],
    "dict": lambda x: OrderedDict(last_hidden_state=x, pooler_output=None),
    "named": lambda x: Named(x, 1),
}


LAYERS = ("conv", "wrapping")


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_layer_with_several_outputs_is_supported(wrap):
    """The maps are the first output of a tuple or mapping, and the other outputs stay unchanged."""
    network, x = Wraps(wrap), torch.rand(2, 3, 8, 8)
    plain = ExplainedModel(network, "conv").record(x, 1)

    record = ExplainedModel(network, "wrapping").record(x, 1)

    assert record.activations.equal(plain.activations)
    assert record.gradients.equal(plain.gradients)
    without = WithoutChannel(plain.activations)
    scores = [ExplainedModel(network, layer).ablated_scores(x, without, 1, readout="logit") for layer in LAYERS]
    assert scores[0].equal(scores[1])
    assert not scores[0][1].any()


@pytest.mark.parametrize(
    ("wrap", "message"), [(lambda x: ("", x), "outputs tuple"), (lambda x: x.long(), "torch.int64")]
)
def test_layer_without_float_tensor_is_reported(wrap, message):
    """Feature maps are a floating-point tensor."""
    with pytest.raises(LayerError, match=message):
        ExplainedModel(nn.Sequential(nn.Conv2d(3, 2, 3), Wrapping(wrap)), "1").record(torch.rand(1, 3, 8, 8), 0)


def test_layer_without_influence_is_reported():
    """The error states that the scores do not depend on the layer, so it has no gradient."""

    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.aside, self.conv = nn.Conv2d(3, 4, 3), nn.Conv2d(3, CLASSES, 3)

        def forward(self, x):
            self.aside(x)
            return self.conv(x).flatten(2).mean(2)

    for frozen in (False, True):
        with pytest.raises(LayerError, match="do not depend on layer 'aside'"):
            ExplainedModel(Aside().requires_grad_(not frozen), "aside").record(torch.rand(1, 3, 8, 8), 0)


def test_network_without_feature_maps_is_reported():
    """The error states what to do."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, CLASSES))

    with pytest.raises(LayerError, match="name a layer"):
        GradCAM()(ExplainedModel(network), torch.rand(1, 3, 2, 2), 0)


def test_with_layer_keeps_everything_else():
    """Only the layer differs."""
    model = ExplainedModel(linear(), "features", labels=["a", "b", "c"], name="toy", speed=Speed(chunk=2))

    other = model.with_layer("head.0")

    assert (other.layer, other.labels, other.name, other.speed) == ("head.0", ("a", "b", "c"), "toy", Speed(chunk=2))
    assert other.network is model.network
    assert other.preprocessing is model.preprocessing


def test_with_network_runs_the_other_network():
    """The settings are the same, the scores are those of the other network."""
    model, other = ExplainedModel(linear(), "features", name="toy"), linear()
    with torch.no_grad():
        other.head[1].weight.neg_()
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)

    assert model.with_network(other).name == "toy"
    assert model.with_network(other).layer == "features"
    torch.testing.assert_close(model.with_network(other).logits(x), other(x).detach())
    assert not model.logits(x).equal(other(x))


# -- validation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (linear(), (3, 8, 8), r"got \(3, 8, 8\): use x\[None\]"),
        (linear(), (0, 3, 8, 8), r"N > 0"),
        (nn.Sequential(nn.Conv2d(3, 2, 3), Pool()), (3, 8, 8), r"\(N, C, H, W\).*use x\[None\]"),
        (signal(), (2, 12), r"\(N, C, L\).*use x\[None\]"),
        (volume(), (1, 6, 6, 6), r"\(N, C, D, H, W\).*use x\[None\]"),
    ],
)
def test_wrong_input_shapes_are_reported(network, shape, message):
    """A missing batch dimension is the usual mistake, and the error states how to fix it."""
    with pytest.raises(ShapeError, match=message):
        ExplainedModel(network).logits(torch.rand(*shape, dtype=torch.float64))


def test_input_that_is_not_a_tensor_is_reported():
    """A list is not an input."""
    with pytest.raises(InputTypeError, match="expected a tensor"):
        ExplainedModel(linear()).logits([[1, 2]])


@pytest.mark.parametrize("wrong", [nn.Conv2d, "resnet", None])
def test_network_of_the_wrong_type_is_reported(wrong):
    """A class is not a network, and neither is a name."""
    with pytest.raises(InputTypeError, match="expected a network"):
        ExplainedModel(wrong)


@pytest.mark.parametrize("output", [lambda x: (x, x), lambda x: x, lambda x: x.flatten(1).mean(1)[:1]])
def test_wrong_output_shapes_are_reported(output):
    """A network must return one row of scores per image."""

    class Network(nn.Module):
        def forward(self, x):
            return output(x)

    with pytest.raises(ShapeError, match="one row of scores per image"):
        ExplainedModel(Network()).logits(torch.rand(2, 3, 8, 8))


@pytest.mark.parametrize("shape", [(2, 8, 8), (5, 1, 8, 8), (5, 2, 8, 9)])
def test_wrong_mask_shapes_are_reported(shape):
    """There is one mask per image, of the image's size; nothing is broadcast silently."""
    toy, x, target = problem("small")

    with pytest.raises(ShapeError, match=r"\(M, 2, 8, 8\)"):
        ExplainedModel(toy).masked_scores(x, torch.ones(shape), target, readout="logit")


def test_unknown_readout_and_fill_are_reported():
    """The error lists the known names."""
    toy, x, target = problem("small")
    model, masks = ExplainedModel(toy), torch.ones(1, 2, 8, 8, dtype=torch.float64)

    with pytest.raises(UnknownNameError, match="logit, probability"):
        model.masked_scores(x, masks, target, readout="score")
    with pytest.raises(UnknownNameError, match="mean, black, blur"):
        model.masked_scores(x, masks, target, readout="logit", fill="gray")


def test_nan_of_a_masked_image_is_reported():
    """The network may return NaN for masked images only."""

    class Fragile(nn.Module):
        def forward(self, x):
            return (x / x).flatten(2).mean(2)  # NaN where a pixel is 0

    model = ExplainedModel(Fragile())
    x = torch.rand(1, 3, 4, 4) + 1

    assert model.scores(x, 0, "logit").isfinite().all()
    with pytest.raises(NonFiniteError):
        model.masked_scores(x, torch.zeros(1, 1, 4, 4), 0, readout="logit")


def test_target_out_of_range_is_reported():
    """The error states the range of the classes."""
    with pytest.raises(TargetError, match="an index from 0 to 2, got 3"):
        ExplainedModel(linear()).scores(torch.rand(1, 3, 8, 8), 3, "logit")


# -- threads ----------------------------------------------------------------------------------------------------


def test_threads_on_one_network_do_not_interfere():
    """Two models of one network in training mode return the same in parallel as alone, and restore the network."""
    toy, x, target = problem("small", images=4)
    toy.train()
    models = [ExplainedModel(toy, "features"), ExplainedModel(toy, "features.1")]
    method = METHODS["fusion-cam"]
    expected = [method(model, x, target) for model in models]
    wrong = []

    def explain(which):
        for _ in range(5):
            if not method(models[which], x, target).equal(expected[which]):
                wrong.append(which)

    threads = [threading.Thread(target=explain, args=(n % 2,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert all(module.training for module in toy.modules())
    assert not any(module._forward_hooks for module in toy.modules())


@pytest.mark.parametrize("wrap", [lambda network: network, nn.Sequential], ids=["itself", "wrapped"])
def test_calls_on_one_network_run_one_after_the_other(wrap):
    """No pass starts during another, so that neither changes the other's training flags."""
    steps, both_started = [], threading.Event()

    class Patient(nn.Module):
        def forward(self, x):
            steps.append("in")
            if steps == ["in", "in"]:
                both_started.set()
            both_started.wait(0.5)  # long enough for the other thread to start its pass, if nothing prevents it
            steps.append("out")
            return x

    toy = Toy(Patient(), nn.Sequential(Pool(), nn.Linear(3, CLASSES))).train()
    models = [ExplainedModel(toy), ExplainedModel(wrap(toy))]
    threads = [threading.Thread(target=model.logits, args=(torch.rand(1, 3, 4, 4),)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert steps == ["in", "out", "in", "out"]
    assert all(module.training for module in toy.modules())


def test_hooks_ignore_other_threads():
    """A forward pass of another thread is not recorded."""
    started, resume = threading.Event(), threading.Event()

    class Waiting(nn.Module):
        def forward(self, x):
            if threading.current_thread() is not threading.main_thread():
                started.set()
                resume.wait(10)
            return x

    toy = Toy(Fixed([[1.0, 0, 0], [0, 1, 0]]), nn.Sequential(Waiting(), Pool()))
    x = torch.rand(1, 3, 4, 4, dtype=torch.float64)
    records = []
    explaining = threading.Thread(target=lambda: records.append(ExplainedModel(toy, "features").record(x, 0)))
    explaining.start()
    assert started.wait(10)

    toy(x + 1)  # a pass of the user, while the recorded one waits after the hooked layer
    resume.set()
    explaining.join()

    torch.testing.assert_close(records[0].activations, x[:, :2])
