"""CLIP and SigLIP with text prompts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import InputTypeError, SettingError, ShapeError
from fusioncam.tasks import TextPrompts
from twins import attention

PROMPTS = ["a photo of a cat", "a red bicycle", "grass"]


def letters(texts):
    """Return the letters of texts as tokens, cut to twelve."""
    return torch.tensor([[ord(letter) % 32 for letter in text.ljust(12)[:12]] for text in texts])


class TwoTowers(nn.Module):
    """A model like open_clip's: an image tower with a class token, a text tower, a scale and perhaps a bias."""

    def __init__(self, bias=None):
        super().__init__()
        self.visual = attention.TinyViT()
        self.embedding, self.text = nn.EmbeddingBag(32, 8), nn.Linear(8, attention.CLASSES)
        self.logit_scale = nn.Parameter(torch.tensor(2.0))
        self.logit_bias = None if bias is None else nn.Parameter(torch.tensor(bias))
        self.texts_encoded = 0

    def encode_image(self, x):
        """Return embeddings of images."""
        return self.visual(x)

    def encode_text(self, tokens):
        """Return embeddings of texts."""
        self.texts_encoded += 1
        return self.text(self.embedding(tokens))


class HuggingFace(nn.Module):
    """The same with the names of transformers, whose methods return objects or tensors."""

    def __init__(self, towers, returns_object):
        super().__init__()
        self.towers, self.returns_object = towers, returns_object
        self.logit_scale = towers.logit_scale

    def get_image_features(self, pixel_values):
        """Return embeddings of images."""
        return self._returned(self.towers.encode_image(pixel_values))

    def get_text_features(self, input_ids):
        """Return embeddings of texts."""
        return self._returned(self.towers.encode_text(input_ids))

    def _returned(self, embeddings):
        return type("Output", (), {"pooler_output": embeddings}) if self.returns_object else embeddings


def towers(bias=None):
    """Return the model in float64 and two images."""
    torch.manual_seed(0)
    return TwoTowers(bias).double().eval(), torch.rand(2, 3, 8, 12, dtype=torch.float64)


def cosines(model, x):
    """Return the cosine similarities of images and prompts."""
    return F.normalize(model.encode_image(x)) @ F.normalize(model.encode_text(letters(PROMPTS))).T


def test_scores_are_scaled_cosines():
    """The prompts are the class names, and their softmax the probabilities."""
    model, x = towers()
    explained = ExplainedModel(TextPrompts(model, PROMPTS, letters))

    torch.testing.assert_close(explained.logits(x), cosines(model, x).detach() * torch.tensor(2.0).exp())
    assert explained.labels == tuple(PROMPTS)


@pytest.mark.parametrize("returns_object", [True, False])
def test_names_of_transformers(returns_object):
    """Its methods take mappings of tokens, and return objects with the pooled output."""
    model, x = towers()
    renamed = HuggingFace(model, returns_object)

    row = TextPrompts(renamed, PROMPTS, lambda texts: {"input_ids": letters(texts)})(x)

    torch.testing.assert_close(row, TextPrompts(model, PROMPTS, letters)(x))


def test_probability_of_one_prompt_is_the_sigmoid_of_siglip():
    """The bias is added to the scaled cosine; the other column is 0."""
    model, x = towers(bias=-1.5)
    explained = ExplainedModel(TextPrompts(model, PROMPTS[1:2], letters))

    z = cosines(model, x)[:, 1] * torch.tensor(2.0).exp() - 1.5
    torch.testing.assert_close(explained.scores(x, 0, "probability"), z.sigmoid().detach())
    assert explained.labels == ("a red bicycle", "none of them")


def test_several_prompts_of_siglip_share_the_probability():
    """The row is the logits and a 0."""
    model, x = towers(bias=-1.5)

    row = TextPrompts(model, PROMPTS, letters)(x)

    z = cosines(model, x) * torch.tensor(2.0).exp() - 1.5
    torch.testing.assert_close(row, torch.cat([z, torch.zeros(2, 1, dtype=z.dtype)], 1))


def test_texts_are_encoded_once():
    """A pass runs the image tower only, also of masked images."""
    model, x = towers()
    explained = ExplainedModel(TextPrompts(model, PROMPTS, letters))

    heatmaps = METHODS["score-cam"](explained, x, 1)

    assert model.texts_encoded == 1
    assert (heatmaps.flatten(1).std(1) > 0.01).all()


def test_layer_is_in_the_image_tower():
    """The text tower does not run."""
    model, x = towers()
    explained = ExplainedModel(TextPrompts(model, PROMPTS, letters))

    assert all(one.name.startswith("wrapped.visual.") for one in explained.candidates(x))


def test_grad_eclip_is_that_of_plain_autograd():
    """The score is the scaled cosine with the prompt's embedding."""
    model, x = towers()
    visual, texts = model.visual, F.normalize(model.encode_text(letters(PROMPTS))).detach()

    class Cosines(nn.Module):
        def forward(self, embedding):
            return F.normalize(visual_head(embedding), dim=-1) @ texts.T

    heatmaps = METHODS["grad-eclip"](ExplainedModel(TextPrompts(model, PROMPTS, letters)), x, 1)

    visual_head, visual.head = visual.head, Cosines()
    slow = torch.stack([attention.grad_eclip(visual, image, 1) for image in x])
    torch.testing.assert_close(heatmaps, slow, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("a cat", "a list of texts, got 'a cat'"),
        (["a cat", ""], "a list of texts"),
        (["a cat", 3], "a list of texts"),
        ([], "at least one text"),
        (["a cat", "a cat"], "each once"),
        (["a cat"], "relative to the others: add one to"),
    ],
)
def test_unusable_prompts_are_reported(prompts, message):
    """The message says what is wrong with them."""
    with pytest.raises(SettingError, match=message):
        TextPrompts(towers()[0], prompts, letters)


def test_models_and_tokenizers_of_other_kinds_are_reported():
    """A model without towers, no tokenizer, one that returns a list, and embeddings of another shape."""
    model, _ = towers()
    with pytest.raises(InputTypeError, match="get_image_features and get_text_features, or encode_image"):
        TextPrompts(nn.Flatten(), PROMPTS, letters)
    with pytest.raises(SettingError, match=r"no tokenizer is known for TwoTowers: pass tokenizer=..."):
        TextPrompts(model, PROMPTS)
    with pytest.raises(SettingError, match="must return a tensor or a mapping of tensors, got list"):
        TextPrompts(model, PROMPTS, list)
    model.encode_text = lambda tokens: torch.rand(3, 12, 8)
    with pytest.raises(ShapeError, match=r"embeddings \(N, D\) from encode_text, got \(3, 12, 8\)"):
        TextPrompts(model, PROMPTS, letters)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["CLIP", "Siglip"])
def test_scores_are_those_of_transformers(kind):
    """Of its own forward pass, with its own scale and bias, from random small networks."""
    import transformers

    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = getattr(transformers, f"{kind}Config")(
        text_config={**small, "vocab_size": 40, "max_position_embeddings": 12},
        vision_config={**small, "image_size": 32, "patch_size": 8},
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}Model")(config).eval()
    x = torch.randn(2, 3, 32, 32)
    tokens = {"input_ids": letters(PROMPTS)}

    explained = ExplainedModel(TextPrompts(model, PROMPTS, lambda texts: tokens))

    with torch.no_grad():
        expected = model(pixel_values=x, **tokens).logits_per_image
    torch.testing.assert_close(explained.logits(x)[:, :3], expected, atol=1e-5, rtol=0)
    assert METHODS["grad-cam"](explained, x, 1).std() > 0.01
