"""Batches hold what a device takes, of near lengths."""

import random
from itertools import product

import pytest

from mmrag.embed.content import Prepared
from mmrag.embed.engine.buckets import Budget, cut, positions


def sized(*tokens: int, visual: int = 0) -> list[Prepared]:
    return [Prepared(n - visual, visual, None) for n in tokens]


def test_every_input_is_in_one_batch_and_every_batch_fits() -> None:
    rng = random.Random(0)
    inputs = [
        Prepared(rng.randint(1, 300), rng.choice([0, 0, rng.randint(1, 200)]), None) for _ in range(500)
    ]
    budget = Budget(tokens=1000, visual_tokens=400, items=16)
    batches = cut(inputs, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(500))
    for batch in batches:
        part = [inputs[i] for i in batch]
        assert budget.fits(part)
        if len(part) > 1:
            assert len(part) <= 16
            assert max(one.tokens for one in part) * len(part) <= 1000
            assert sum(one.visual_tokens for one in part) <= 400


def test_near_lengths_are_together() -> None:
    rng = random.Random(1)
    inputs = sized(*(rng.randint(1, 500) for _ in range(256)))
    batches = cut(inputs, Budget(4096, 4096, 64))
    padded = sum(positions([inputs[i] for i in batch]) for batch in batches)
    unsorted = sum(positions(inputs[at : at + 16]) for at in range(0, 256, 16))
    assert padded < 1.05 * sum(one.tokens for one in inputs) < unsorted / 1.5


def test_few_inputs_of_two_lengths_are_not_padded_to_one() -> None:
    inputs = sized(400, 10, 400, 12, 11)
    assert cut(inputs, Budget(4096, 4096, 64, batch_cost=32)) == [[0, 2], [3, 4, 1]]
    # Where a batch costs more than the padding, there is one.
    assert cut(inputs, Budget(4096, 4096, 64, batch_cost=2000)) == [[0, 2, 3, 4, 1]]


def test_no_other_batches_take_less() -> None:
    rng = random.Random(2)
    for _ in range(50):
        inputs = sized(*(rng.randint(1, 40) for _ in range(8)))
        budget = Budget(90, 999, 4, batch_cost=rng.choice([0, 5, 30]))

        def cost(batches: list[list[Prepared]], each: int = budget.batch_cost) -> int:
            return sum(positions(batch) + each for batch in batches)

        ordered = sorted(inputs, key=lambda one: -one.tokens)
        every = []
        for cuts in product([False, True], repeat=7):
            ends = [i + 1 for i, here in enumerate(cuts) if here]
            batches = [ordered[a:b] for a, b in zip([0, *ends], [*ends, 8], strict=True)]
            if all(budget.fits(batch) for batch in batches):
                every.append(cost(batches))
        assert cost([[inputs[i] for i in batch] for batch in cut(inputs, budget)]) == min(every)


def test_the_longest_come_first() -> None:
    assert cut(sized(1, 9, 5, 9), Budget(18, 99, 9)) == [[1, 3], [2, 0]]


def test_an_input_above_the_budget_is_alone() -> None:
    assert cut(sized(5, 100, 5), Budget(10, 10, 8)) == [[1], [0, 2]]
    assert Budget(10, 10, 8).fits(sized(100, visual=90))


@pytest.mark.parametrize(
    ("budget", "size"), [(Budget(99, 99, 3), 3), (Budget(20, 99, 9), 2), (Budget(99, 25, 9), 5)]
)
def test_each_bound_binds(budget: Budget, size: int) -> None:
    assert len(cut(sized(*[10] * 12, visual=5), budget)[0]) == size


def test_the_next_budget_is_half_of_what_was_too_much() -> None:
    budget = Budget(1000, 500, 64)
    assert budget.below(sized(100, 90, 80, 70)) == Budget(200, 500, 64)
    assert budget.below(sized(100, 90, visual=60)) == Budget(100, 60, 64)
    assert Budget(50, 500, 64).below(sized(100, 90)) == Budget(50, 500, 64)


def test_inputs_without_tokens_can_be_halved_too() -> None:
    nothing = sized(0, 0, 0)
    assert not Budget(1000, 500, 64).below(nothing).fits(nothing)
