"""Test samples, their target classes, and reproducible draws of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dataset_files import names, write
from fusioncam.data.datasets.registry import open_dataset
from fusioncam.data.datasets.sample import Sample, draw
from fusioncam.errors import ImageError, TargetError


def test_target_of_a_sample():
    """The target is the label, the best correct class, or the best class; a class that does not exist is an error."""
    scores = torch.tensor([0.1, 0.7, 0.2])
    image = Path("a.jpg")

    assert Sample("a", image).target(scores) == 1
    assert Sample("a", image, label=2).target(scores) == 2
    assert Sample("a", image, classes=(0, 2)).target(scores) == 2
    with pytest.raises(TargetError, match="a has class 3, but the network has 3 classes"):
        Sample("a", image, label=3).target(scores)


def test_samples_are_a_sequence(tmp_path):
    """Slices and negative indices work as for lists."""
    for name in "abcdef":
        write(tmp_path / f"{name}.png")
    samples = open_dataset(tmp_path)

    assert names(samples[4:1:-2]) == ["e.png", "c.png"]
    assert names(samples[1:][::2]) == ["b.png", "d.png", "f.png"]
    assert samples[-1].name == "f.png"
    assert hash(samples[0]) == hash(samples[0])
    with pytest.raises(IndexError):
        samples[6]


@pytest.mark.parametrize("kind", [OSError, SyntaxError, ValueError, ModuleNotFoundError])
def test_an_error_of_a_decoder_is_one_of_the_image(kind):
    """Also that of an import, with which ultralytics answers a file that PIL does not know."""

    def image():
        raise kind("no decoder")

    with pytest.raises(ImageError, match=r"^a: damaged or truncated: no decoder$"):
        Sample("a", image).open()


def numbered_samples(count):
    """Return ``count`` samples."""
    return [Sample(f"{n}.jpg", Path(f"{n}.jpg")) for n in range(count)]


def test_a_draw_is_the_same_on_every_machine():
    """The draw depends only on names and seed: these are fixed examples."""
    assert [sample.name for sample in draw(numbered_samples(100), 5, seed=0)] == [
        "46.jpg",
        "53.jpg",
        "67.jpg",
        "68.jpg",
        "77.jpg",
    ]
    assert [sample.name for sample in draw(numbered_samples(100), 5, seed=1)] == [
        "2.jpg",
        "3.jpg",
        "8.jpg",
        "69.jpg",
        "96.jpg",
    ]


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5), st.randoms(use_true_random=False))
def test_a_larger_draw_has_the_smaller_one(small, large, seed, random):
    """A larger limit with the same seed keeps the samples of the smaller one, in any order of the data set."""
    small, large = sorted((small, large))
    samples = numbered_samples(30)
    shuffled = random.sample(samples, len(samples))

    few, many = draw(samples, small, seed), draw(samples, large, seed)

    assert len(few) == min(small, 30)
    assert set(few) <= set(many)
    assert few == [sample for sample in samples if sample in few]
    assert set(draw(shuffled, small, seed)) == set(few)


def test_a_draw_of_all_is_all():
    """No limit keeps all samples; a limit of 0 keeps none."""
    assert draw(numbered_samples(7)) == numbered_samples(7)
    assert draw(numbered_samples(7), 0) == []
    assert draw(numbered_samples(7), 100, seed=3) == numbered_samples(7)


def test_accents_do_not_change_the_draw():
    """Some file systems store letters and accents separately."""
    composed, decomposed = ([Sample(name, Path(name)) for name in names] for names in (["é", "a"], ["e\u0301", "a"]))

    assert [sample.name == "a" for sample in draw(composed, 1)] == [
        sample.name == "a" for sample in draw(decomposed, 1)
    ]
