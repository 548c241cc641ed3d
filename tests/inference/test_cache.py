"""Test memoised passes inside `cached_passes`, and the costs of methods that share them."""

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


def counted_function():
    """Return a memoised function, and the list of the calls that ran."""
    calls = []

    @memoize_pass
    def function(*args, **kwargs):
        calls.append((args, kwargs))
        return object()

    return function, calls


def test_same_arguments_are_computed_once():
    """Equal methods, equal names and the same tensor are the same arguments."""
    function, calls = counted_function()
    x, target = torch.rand(2), [1, 2]

    with cached_passes():
        first = function(GradCAM(), x, target, layer="a")
        assert function(GradCAM(), x, target, layer="a") is first

    assert len(calls) == 1


@pytest.mark.parametrize(
    "other", [((GradCAM("b"), 1), {}), ((GradCAM(), 2), {}), ((GradCAM(),), {"n": 1}), ((GradCAM(), 1), {"n": 1})]
)
def test_other_arguments_are_computed_separately(other):
    """One different argument is enough."""
    function, calls = counted_function()
    with cached_passes():
        function(GradCAM(), 1)
        function(*other[0], **other[1])

    assert len(calls) == 2


def test_equal_tensors_are_not_the_same_tensor():
    """Tensors are compared by identity, because their values may change."""
    function, calls = counted_function()
    with cached_passes():
        function(torch.zeros(2))
        function(torch.zeros(2))

    assert len(calls) == 2


def test_results_are_dropped_after_the_block():
    """The cache ends with the outermost block, also after an error."""
    function, calls = counted_function()
    with cached_passes():
        with cached_passes():
            function(1)
        function(1)
    assert len(calls) == 1

    with pytest.raises(TypeError), cached_passes():
        function(1, function(1), **{1: "no keyword"})
    function(1)
    function(1)

    assert len(calls) == 4


def test_errors_are_not_cached():
    """A call that failed runs again."""
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


def test_threads_do_not_share_results():
    """Each thread has its own cache."""
    function, calls = counted_function()
    with cached_passes():
        function(1)
        other = threading.Thread(target=function, args=(1,))
        other.start()
        other.join()

    assert len(calls) == 2


# -- costs -----------------------------------------------------------------------------------------------------


def function_with_cost(passes, *functions):
    """Return a memoised function that calls others, one of them twice, and then records passes."""

    @memoize_pass
    def call():
        for function in (*functions, *functions[:1]):
            function()
        record_passes(passes=passes, partial=10 * passes)

    return call


def test_standalone_cost_includes_each_shared_result_once():
    """Each block includes the full cost of a shared result, and counts a result that it reaches twice once."""
    base = function_with_cost(1)
    left, right = function_with_cost(2, base), function_with_cost(4, base)
    ledgers = []
    with cached_passes():
        for functions in ((left,), (left, right), (right, left), (base,), ()):
            with track_cost() as ledger:
                for function in functions:
                    function()
                record_passes(passes=100)
            ledgers.append(ledger)

    assert [ledger.standalone().passes for ledger in ledgers] == [103, 107, 107, 101, 100]
    assert [ledger.standalone().partial for ledger in ledgers] == [30, 70, 70, 10, 0]
    assert [ledger.own.passes for ledger in ledgers] == [100] * 5


def test_nested_block_counts_in_both():
    """The outer block's cost includes the inner one's once."""
    with track_cost() as outer:
        record_passes(passes=1)
        with track_cost() as inner:
            record_passes(passes=2)

    assert (outer.standalone().passes, outer.own.passes, inner.standalone().passes) == (3, 1, 2)


def test_result_from_before_the_block_is_included():
    """The cost includes results that were computed before any block."""
    base = function_with_cost(7)
    with cached_passes():
        base()
        with track_cost() as ledger:
            base()

    assert ledger.standalone().passes == 7


def test_cost_of_a_failed_call_is_included():
    """The block around a failed call includes its passes, and the next block does not."""
    fails = memoize_pass(lambda: (record_passes(passes=3), 1 / 0))
    with cached_passes():
        with pytest.raises(ZeroDivisionError), track_cost() as first:
            fails()
        with track_cost() as second:
            record_passes(passes=1)

    assert (first.standalone().passes, second.standalone().passes) == (3, 1)


def test_seconds_add_up():
    """The standalone cost is the sum of the own costs of all parts."""
    ledger = CostLedger(
        PassCost(2.0, 1), [CostLedger(PassCost(0.5)), CostLedger(PassCost(0.25), [CostLedger(PassCost(4.0))])]
    )

    assert ledger.standalone() == PassCost(6.75, 1, 0)


@pytest.mark.parametrize("order", [1, -1])
def test_methods_have_the_same_cost_when_they_share_passes(order):
    """A method's passes are the same with other methods, in any order, as in a block of its own."""
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
        method(model, x, target)  # sets up what the model computes once

    alone, shared = {}, {}
    for name, method in methods.items():
        with cached_passes(), count_passes() as counter:
            method(model, x, target)
        alone[name] = counter.passes, counter.partial
    with cached_passes(), prefetch_layers(x, set().union(*map(layers_of, methods.values()))), count_passes() as whole:
        for name in names[::order]:
            with track_cost() as ledger:
                methods[name](model, x, target)
            shared[name] = ledger.standalone().passes, ledger.standalone().partial

    assert shared == alone
    assert whole.passes < sum(passes for passes, _ in alone.values())
