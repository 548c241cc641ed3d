"""The one caller of the network: its four questions, its doors, its threads."""

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

# -- what it answers ------------------------------------------------------------------------------------------


def test_record_by_hand():
    """On the linear toy A is x itself and dY/dA is the head's weight over the number of places."""
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64)

    record = ExplainedModel(linear(), "features").record(x, [0, 2])

    assert record.layer == "features"
    torch.testing.assert_close(record.activations, torch.stack([x[:, 0], x[:, 1], x[:, 0] - x[:, 1]], 1))
    expected = torch.tensor([[1.0, 0, 0], [1, -1, 3]], dtype=torch.float64) / 20
    torch.testing.assert_close(record.gradients, expected[:, :, None, None].expand(2, 3, 4, 5))
    torch.testing.assert_close(record.logits, linear()(x).detach())


@pytest.mark.parametrize("readout", ["logit", "probability"])
def test_scores_are_the_targets_own(readout):
    """A score is the target's logit or probability, image by image."""
    toy, x, target = problem("small")
    logits = toy(x).detach()
    table = logits if readout == "logit" else logits.softmax(1)

    scores = ExplainedModel(toy, "features").scores(x, target, readout)

    assert scores.tolist() == [pytest.approx(float(table[n, c])) for n, c in enumerate(target)]


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("fill", ["mean", "black"])
def test_masked_scores_one_by_one(fill, chunk):
    """Each image under each mask gets what it gets alone, whatever the chunk, over either fill."""
    toy, x, target = problem("small")
    masks = torch.rand(5, 2, 8, 8, dtype=torch.float64)
    preprocessing = Preprocessing((8, 8), 8, mean=(0.5, 0.4, 0.3), std=(0.2, 0.1, 0.3))
    model = ExplainedModel(toy, "features", preprocessing=preprocessing, speed=Speed(chunk))
    black = -torch.tensor([2.5, 4.0, 1.0], dtype=torch.float64).reshape(3, 1, 1) * (fill == "black")

    scores = model.masked_scores(x, masks, target, readout="probability", fill=fill)

    for m, of_mask in enumerate(masks):
        for n, mask in enumerate(of_mask):
            shown = x[n] * mask + black * (1 - mask)
            expected = toy(shown[None]).detach().softmax(1)[0, target[n]]
            assert scores[m, n].item() == pytest.approx(expected.item())


def test_a_fill_made_from_the_masks():
    """A callable makes what shows behind from the images and the masks of each chunk."""
    toy, x, target = problem("small")
    masks = torch.rand(3, 2, 8, 8, dtype=torch.float64)
    model = ExplainedModel(toy, "features", speed=Speed(chunk=2))

    scores = model.masked_scores(x, masks, target, readout="logit", fill=lambda shown, mask: shown * mask[:, None])
    _, gradients = mask_gradients(
        model, x, masks[0], target, readout="logit", fill=lambda shown, mask: shown * mask[:, None].detach()
    )

    for m, of_mask in enumerate(masks):
        for n, mask in enumerate(of_mask):
            shown = x[n] * mask + x[n] * mask * (1 - mask)
            assert scores[m, n].item() == pytest.approx(toy(shown[None])[0, target[n]].item())
    assert gradients.shape == masks[0].shape


def test_masks_that_are_not_alive_cost_nothing_and_score_nan():
    """A source may say that some masks need no pass."""
    toy, x, target = problem("small")

    class Half:
        shape = (3, 2, 8, 8)
        active = torch.tensor([[True, False], [False, False], [True, True]])

        def __getitem__(self, where):
            return torch.ones(len(where[0]), 8, 8, dtype=torch.float64)

    with count_passes() as meter:
        scores = ExplainedModel(toy, "features").masked_scores(x, Half(), target, readout="logit")

    assert meter.passes == 3
    assert scores.isnan().equal(~Half.active)


def test_masks_are_made_a_chunk_at_a_time():
    """However many masks there are, no more than a chunk of them is asked for at once."""
    toy, x, target = problem("small")
    asked = []

    class Counting:
        shape = (9, 2, 8, 8)

        def __getitem__(self, where):
            asked.append(len(where[0]))
            return torch.ones(len(where[0]), 8, 8, dtype=torch.float64)

    ExplainedModel(toy, "features", speed=Speed(chunk=4, workers=1)).masked_scores(
        x, Counting(), target, readout="logit"
    )

    assert asked == [4, 4, 4, 4, 2]


def test_passes_are_counted():
    """A recorded image is one pass, a question for logits another."""
    toy, x, target = problem("small", images=3)
    model = ExplainedModel(toy, "features")

    with count_passes() as meter:
        model.record(x, target)
        model.logits(x)

    assert (meter.passes, meter.planned) == (6, 6)


def test_a_network_that_views_is_explained_all_the_same():
    """Where channels-last pixels do not fit a network's `view`, the sweep goes on without them."""
    network = Viewing()
    x = torch.rand(2, 3, 8, 8)
    model = ExplainedModel(network, "conv")
    expected = torch.stack([network(x * 0.5), network(x)])[:, :, 1].detach()

    for _ in range(2):
        scores = model.masked_scores(x, torch.stack([x[:, 0] * 0 + 0.5, x[:, 0] * 0 + 1]), 1, readout="logit")

    torch.testing.assert_close(scores, expected)


def test_errors_of_the_network_come_through():
    """Another RuntimeError is the network's own and is not tried again."""

    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("no such kernel")

    with pytest.raises(RuntimeError, match="no such kernel"):
        ExplainedModel(Broken()).masked_scores(torch.rand(1, 3, 4, 4), torch.ones(1, 1, 4, 4), 0, readout="logit")


# -- where the maps are -------------------------------------------------------------------------------------------


def test_the_last_map_before_pooling_is_found():
    """In execution order, whatever the modules are called and wherever they stand."""

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
    assert [(one.name, one.shape) for one in model.layers.candidates(x)] == [
        ("z_first", (4, 6, 6)),
        ("a_last.0", (5, 4, 4)),
        ("a_last.1", (5, 4, 4)),
        ("a_last", (5, 4, 4)),
    ]
    assert model.record(x, 0).layer == "a_last"


def test_a_pooling_to_more_than_one_pixel_is_not_a_layer():
    """VGG's adaptive pooling gives 7 x 7, but the maps are the ones before it."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, CLASSES))

    assert ExplainedModel(network).layers.default(torch.rand(1, 3, 8, 8)) == "0"


def test_the_layer_follows_the_input():
    """Where the last map is one pixel, an earlier layer has the maps."""
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES)
    )
    model = ExplainedModel(network)

    assert model.layers.default(torch.rand(1, 3, 16, 16)) == "1"
    assert model.layers.default(torch.rand(1, 3, 7, 7)) == "0"


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ("relu", "ran 2 times"),
        ("idle", "ran 0 times"),
        ("head", "not feature maps"),
        ("frist", "did you mean 'first'"),
        ("", "no layer ''"),
    ],
)
def test_layers_that_cannot_be_read_are_told(layer, told):
    """A layer that runs twice or never, gives no maps or does not exist is a LayerError that says so."""
    with pytest.raises(LayerError, match=told):
        ExplainedModel(Twice(), layer).record(torch.rand(1, 3, 8, 8), 0)


Named = namedtuple("Named", "maps rest")


class Wraps(nn.Module):
    """Its layer gives the maps among other things, as Hugging Face's layers do."""

    def __init__(self, wrap):
        super().__init__()
        self.conv, self.wrapping = nn.Conv2d(3, CLASSES, 3), Wrapping(wrap)

    def forward(self, x):
        """Take the maps out again."""
        output = self.wrapping(self.conv(x))
        maps = next(iter(output.values() if isinstance(output, dict) else output))
        return maps.flatten(2).square().mean(2)


class Wrapping(nn.Module):
    """Gives what it is told to."""

    def __init__(self, wrap):
        super().__init__()
        self.wrap = wrap

    def forward(self, x):
        """Wrap the maps."""
        return self.wrap(x)


WRAPS = {
    "tuple": lambda x: (x, None),
    "list": lambda x: [x, x],
    "dict": lambda x: OrderedDict(last_hidden_state=x, pooler_output=None),
    "named": lambda x: Named(x, 1),
}


LAYERS = ("conv", "wrapping")


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_a_layer_that_gives_more_than_maps_is_read(wrap):
    """The maps are the first of a tuple or mapping, and the rest goes on as it was."""
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


def test_a_layer_off_the_way_is_told():
    """A layer that the scores do not depend on has no gradient, and the error says why."""

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


def test_a_network_without_maps_is_told():
    """Where no layer has maps, the error says so, and what to do."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, CLASSES))

    with pytest.raises(LayerError, match="name a layer"):
        GradCAM()(ExplainedModel(network), torch.rand(1, 3, 2, 2), 0)


def test_another_layer_of_the_same_network():
    """`at` keeps everything but the layer."""
    model = ExplainedModel(linear(), "features", labels=["a", "b", "c"], name="toy", speed=Speed(chunk=2))

    other = model.with_layer("head.0")

    assert (other.layer, other.labels, other.name, other.speed) == ("head.0", ("a", "b", "c"), "toy", Speed(chunk=2))
    assert other.network is model.network
    assert other.preprocessing is model.preprocessing


# -- what it refuses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "shape", "told"),
    [
        (linear(), (3, 8, 8), r"got \(3, 8, 8\): add x\[None\]"),
        (linear(), (0, 3, 8, 8), r"N > 0"),
        (nn.Sequential(nn.Conv2d(3, 2, 3), Pool()), (3, 8, 8), r"\(N, C, H, W\).*add x\[None\]"),
        (signal(), (2, 12), r"\(N, C, L\).*add x\[None\]"),
        (volume(), (1, 6, 6, 6), r"\(N, C, D, H, W\).*add x\[None\]"),
    ],
)
def test_inputs_of_another_shape_are_told(network, shape, told):
    """An image without its batch side is the usual slip, and the error says how to mend it."""
    with pytest.raises(ShapeError, match=told):
        ExplainedModel(network).logits(torch.rand(*shape, dtype=torch.float64))


def test_not_a_tensor_is_told():
    """An array is not an input."""
    with pytest.raises(InputTypeError, match="expected a tensor"):
        ExplainedModel(linear()).logits([[1, 2]])


@pytest.mark.parametrize("wrong", [nn.Conv2d, "resnet", None])
def test_not_a_network_is_told(wrong):
    """A class passed where an instance was meant is told so."""
    with pytest.raises(InputTypeError, match="expected a network"):
        ExplainedModel(wrong)


@pytest.mark.parametrize("output", [lambda x: (x, x), lambda x: x, lambda x: x.flatten(1).mean(1)])
def test_scores_of_another_shape_are_told(output):
    """A network that gives no row of scores must be wrapped."""

    class Network(nn.Module):
        def forward(self, x):
            return output(x)

    with pytest.raises(ShapeError, match="wrap it"):
        ExplainedModel(Network()).logits(torch.rand(2, 3, 8, 8))


@pytest.mark.parametrize("shape", [(2, 8, 8), (5, 1, 8, 8), (5, 2, 8, 9)])
def test_masks_of_another_shape_are_told(shape):
    """Masks are one an image, of the image's size: nothing is broadcast in silence."""
    toy, x, target = problem("small")

    with pytest.raises(ShapeError, match=r"\(M, 2, 8, 8\)"):
        ExplainedModel(toy).masked_scores(x, torch.ones(shape), target, readout="logit")


def test_wrong_words_are_told():
    """An unknown readout or fill names those that are known."""
    toy, x, target = problem("small")
    model, masks = ExplainedModel(toy), torch.ones(1, 2, 8, 8, dtype=torch.float64)

    with pytest.raises(UnknownNameError, match="logit, probability"):
        model.masked_scores(x, masks, target, readout="score")
    with pytest.raises(UnknownNameError, match="mean, black, blur"):
        model.masked_scores(x, masks, target, readout="logit", fill="gray")


def test_nan_under_a_mask_is_told():
    """A network that breaks down on masked images alone is told too."""

    class Fragile(nn.Module):
        def forward(self, x):
            return (x / x).flatten(2).mean(2)  # NaN where a pixel is 0

    model = ExplainedModel(Fragile())
    x = torch.rand(1, 3, 4, 4) + 1

    assert model.scores(x, 0, "logit").isfinite().all()
    with pytest.raises(NonFiniteError):
        model.masked_scores(x, torch.zeros(1, 1, 4, 4), 0, readout="logit")


def test_a_class_that_is_not_there_is_told():
    """The error counts the classes."""
    with pytest.raises(TargetError, match="an index from 0 to 2, got 3"):
        ExplainedModel(linear()).scores(torch.rand(1, 3, 8, 8), 3, "logit")


# -- threads ----------------------------------------------------------------------------------------------------


def test_two_threads_on_one_network():
    """Two wrappers of one training network, asked at once, give what they give alone and leave no trace."""
    toy, x, target = problem("small", images=4)
    toy.train()
    models = [ExplainedModel(toy, "features"), ExplainedModel(toy, "features.1")]
    method = METHODS["fusion-cam"]
    expected = [method(model, x, target) for model in models]
    wrong = []

    def ask(which):
        for _ in range(5):
            if not method(models[which], x, target).equal(expected[which]):
                wrong.append(which)

    threads = [threading.Thread(target=ask, args=(n % 2,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert all(module.training for module in toy.modules())
    assert not any(module._forward_hooks for module in toy.modules())


@pytest.mark.parametrize("wrap", [lambda network: network, nn.Sequential], ids=["itself", "wrapped"])
def test_calls_on_one_network_take_turns(wrap):
    """No call begins a pass while another is in one, so that neither changes the other's train flags."""
    steps, both_in = [], threading.Event()

    class Patient(nn.Module):
        def forward(self, x):
            steps.append("in")
            if steps == ["in", "in"]:
                both_in.set()
            both_in.wait(0.5)  # time enough for the other thread, if nothing keeps it out
            steps.append("out")
            return x

    toy = Toy(Patient(), nn.Sequential(Pool(), nn.Linear(3, CLASSES))).train()
    models = [ExplainedModel(toy), ExplainedModel(wrap(toy))]
    threads = [threading.Thread(target=one.logits, args=(torch.rand(1, 3, 4, 4),)) for one in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert steps == ["in", "out", "in", "out"]
    assert all(module.training for module in toy.modules())


def test_a_hook_answers_to_its_own_thread_alone():
    """A forward pass that somebody else makes meanwhile is not recorded."""
    in_pass, go_on = threading.Event(), threading.Event()

    class Waiting(nn.Module):
        def forward(self, x):
            if threading.current_thread() is not threading.main_thread():
                in_pass.set()
                go_on.wait(10)
            return x

    toy = Toy(Fixed([[1.0, 0, 0], [0, 1, 0]]), nn.Sequential(Waiting(), Pool()))
    x = torch.rand(1, 3, 4, 4, dtype=torch.float64)
    answers = []
    explaining = threading.Thread(target=lambda: answers.append(ExplainedModel(toy, "features").record(x, 0)))
    explaining.start()
    assert in_pass.wait(10)

    toy(x + 1)  # the user's own pass, while ours waits behind the hooked layer
    go_on.set()
    explaining.join()

    torch.testing.assert_close(answers[0].activations, x[:, :2])
