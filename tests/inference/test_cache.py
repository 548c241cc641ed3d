"""Asked twice, computed once, and only within the block."""

from __future__ import annotations

import threading

import pytest
import torch

from fusioncam import METHODS, ExplainedModel
from fusioncam.inference.cache import cached_passes, memoize_pass, prefetch_layers
from fusioncam.inference.costs import count_passes, record_passes, track_cost
from fusioncam.inference.counters import CostLedger, PassCost
from fusioncam.methods.base import layers_of
from fusioncam.methods.gradient import GradCAM
from toys import problem


def counted():
    """Give a function that remembers how often it really ran."""
    calls = []

    @memoize_pass
    def question(*args, **kwargs):
        calls.append((args, kwargs))
        return object()

    return question, calls


def test_the_same_question_is_answered_once():
    """Equal methods, names and the same tensor are the same question."""
    question, calls = counted()
    x, target = torch.rand(2), [1, 2]

    with cached_passes():
        first = question(GradCAM(), x, target, layer="a")
        assert question(GradCAM(), x, target, layer="a") is first

    assert len(calls) == 1


@pytest.mark.parametrize(
    "other", [((GradCAM("b"), 1), {}), ((GradCAM(), 2), {}), ((GradCAM(),), {"n": 1}), ((GradCAM(), 1), {"n": 1})]
)
def test_another_question_is_asked_anew(other):
    """Any other argument is another question."""
    question, calls = counted()
    with cached_passes():
        question(GradCAM(), 1)
        question(*other[0], **other[1])

    assert len(calls) == 2


def test_equal_tensors_are_not_the_same_tensor():
    """Tensors are told apart by which they are: their values may change."""
    question, calls = counted()
    with cached_passes():
        question(torch.zeros(2))
        question(torch.zeros(2))

    assert len(calls) == 2


def test_nothing_is_remembered_after_the_block():
    """The memory ends with the outermost block, also after an error."""
    question, calls = counted()
    with cached_passes():
        with cached_passes():
            question(1)
        question(1)
    assert len(calls) == 1

    with pytest.raises(TypeError), cached_passes():
        question(1, question(1), **{1: "no keyword"})
    question(1)
    question(1)

    assert len(calls) == 4


def test_an_error_is_not_an_answer():
    """A question that failed is asked again."""
    tries = []

    @memoize_pass
    def fails():
        tries.append(1)
        raise ValueError("no")

    with cached_passes():
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                fails()

    assert len(tries) == 2


def test_threads_do_not_share():
    """What one thread remembers is not another's."""
    question, calls = counted()
    with cached_passes():
        question(1)
        other = threading.Thread(target=question, args=(1,))
        other.start()
        other.join()

    assert len(calls) == 2


# -- what it costs ---------------------------------------------------------------------------------------------


def spending(passes, *questions):
    """Give a function that asks others, one of them twice, and then spends passes itself."""

    @memoize_pass
    def answer():
        for question in (*questions, *questions[:1]):
            question()
        record_passes(passes=passes, partial=10 * passes)

    return answer


def test_a_block_costs_itself_and_all_that_it_rests_on_once():
    """Two askers of one answer each bear it in full, and an answer reached by two ways is borne once."""
    base = spending(1)
    left, right = spending(2, base), spending(4, base)
    bills = []
    with cached_passes():
        for questions in ((left,), (left, right), (right, left), (base,), ()):
            with track_cost() as bill:
                for question in questions:
                    question()
                record_passes(passes=100)
            bills.append(bill)

    assert [bill.standalone().passes for bill in bills] == [103, 107, 107, 101, 100]
    assert [bill.standalone().partial for bill in bills] == [30, 70, 70, 10, 0]
    assert [bill.own.passes for bill in bills] == [100] * 5


def test_a_block_within_a_block_is_borne_by_both():
    """The outer block's cost has the inner one's in it, once."""
    with track_cost() as outer:
        record_passes(passes=1)
        with track_cost() as inner:
            record_passes(passes=2)

    assert (outer.standalone().passes, outer.own.passes, inner.standalone().passes) == (3, 1, 2)


def test_an_answer_from_before_the_block_is_borne_too():
    """Whoever asks pays, also for what was asked outside of any block."""
    base = spending(7)
    with cached_passes():
        base()
        with track_cost() as bill:
            base()

    assert bill.standalone().passes == 7


def test_an_error_ends_the_account():
    """A failed answer is paid by the block around it, and the next block is not in it."""
    fails = memoize_pass(lambda: (record_passes(passes=3), 1 / 0))
    with cached_passes():
        with pytest.raises(ZeroDivisionError), track_cost() as first:
            fails()
        with track_cost() as second:
            record_passes(passes=1)

    assert (first.standalone().passes, second.standalone().passes) == (3, 1)


def test_seconds_add_up():
    """What the own parts of all accounts sum to is what the whole took."""
    bill = CostLedger(
        PassCost(2.0, 1), [CostLedger(PassCost(0.5)), CostLedger(PassCost(0.25), [CostLedger(PassCost(4.0))])]
    )

    assert bill.standalone() == PassCost(6.75, 1, 0)


@pytest.mark.parametrize("order", [1, -1])
def test_methods_cost_what_they_cost_alone(order):
    """However much was remembered, a method's passes are those that it takes in a block of its own."""
    toy, x, target = problem("small", images=1)
    model = ExplainedModel(toy, "features")
    names = [
        "grad-cam",
        "layer-cam",
        "score-cam",
        "ablation-cam",
        "group-cam",
        "union-cam",
        "fusion-cam",
        "fuse",
        "ones",
    ]
    methods = {name: METHODS[name] for name in names}
    for method in methods.values():
        method(model, x, target)  # what a model finds out once

    alone, told = {}, {}
    for name, method in methods.items():
        with cached_passes(), count_passes() as meter:
            method(model, x, target)
        alone[name] = meter.passes, meter.partial
    with cached_passes(), prefetch_layers(x, set().union(*map(layers_of, methods.values()))), count_passes() as whole:
        for name in names[::order]:
            with track_cost() as bill:
                methods[name](model, x, target)
            told[name] = bill.standalone().passes, bill.standalone().partial

    assert told == alone
    assert whole.passes < sum(passes for passes, _ in alone.values())
