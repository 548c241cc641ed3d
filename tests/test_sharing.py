"""Asked twice, computed once, and only within the block."""

from __future__ import annotations

import threading

import pytest
import torch

from fusioncam.methods import GradCAM
from fusioncam.sharing import once, sharing


def counted():
    """Give a function that remembers how often it really ran."""
    calls = []

    @once
    def question(*args, **kwargs):
        calls.append((args, kwargs))
        return object()

    return question, calls


def test_the_same_question_is_answered_once():
    """Equal methods, names and the same tensor are the same question."""
    question, calls = counted()
    x, target = torch.rand(2), [1, 2]

    with sharing():
        first = question(GradCAM(), x, target, layer="a")
        assert question(GradCAM(), x, target, layer="a") is first

    assert len(calls) == 1


@pytest.mark.parametrize(
    "other", [((GradCAM("b"), 1), {}), ((GradCAM(), 2), {}), ((GradCAM(),), {"n": 1}), ((GradCAM(), 1), {"n": 1})]
)
def test_another_question_is_asked_anew(other):
    """Any other argument is another question."""
    question, calls = counted()
    with sharing():
        question(GradCAM(), 1)
        question(*other[0], **other[1])

    assert len(calls) == 2


def test_equal_tensors_are_not_the_same_tensor():
    """Tensors are told apart by which they are: their values may change."""
    question, calls = counted()
    with sharing():
        question(torch.zeros(2))
        question(torch.zeros(2))

    assert len(calls) == 2


def test_nothing_is_remembered_after_the_block():
    """The memory ends with the outermost block, also after an error."""
    question, calls = counted()
    with sharing():
        with sharing():
            question(1)
        question(1)
    assert len(calls) == 1

    with pytest.raises(TypeError), sharing():
        question(1, question(1), **{1: "no keyword"})
    question(1)
    question(1)

    assert len(calls) == 4


def test_an_error_is_not_an_answer():
    """A question that failed is asked again."""
    tries = []

    @once
    def fails():
        tries.append(1)
        raise ValueError("no")

    with sharing():
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                fails()

    assert len(tries) == 2


def test_threads_do_not_share():
    """What one thread remembers is not another's."""
    question, calls = counted()
    with sharing():
        question(1)
        other = threading.Thread(target=question, args=(1,))
        other.start()
        other.join()

    assert len(calls) == 2
