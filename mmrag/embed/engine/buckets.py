"""Cut prepared inputs into batches of near lengths that fit a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from mmrag.embed.content import Prepared


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a device takes at once.

    Args:
        tokens: Positions, padding counted.
        visual_tokens: Positions of pictures, without padding: the picture tower has none.
        items: Inputs.
        batch_cost: What starting a batch takes, in positions: to save less padding is not worth another one.
    """

    tokens: int
    visual_tokens: int
    items: int
    batch_cost: int = 32

    def fits(self, batch: Sequence[Prepared]) -> bool:
        """Whether a batch can run; a batch of one always can."""
        return len(batch) == 1 or (
            len(batch) <= self.items
            and positions(batch) <= self.tokens
            and sum(one.visual_tokens for one in batch) <= self.visual_tokens
        )

    def below(self, batch: Sequence[Prepared]) -> Budget:
        """Return the budget after a batch was too much: half of what that batch took, or what it was if less.

        The number of inputs stays: many short ones may take less than two long ones.
        """
        visual = sum(one.visual_tokens for one in batch)
        return replace(
            self,
            tokens=min(self.tokens, max(1, positions(batch) // 2)),
            visual_tokens=min(self.visual_tokens, max(1, visual // 2)) if visual else self.visual_tokens,
        )


def positions(batch: Sequence[Prepared]) -> int:
    """Return how many positions a batch takes: its number times its longest input, which has at least one."""
    return max((1, *(one.tokens for one in batch))) * len(batch)


def cut(inputs: Sequence[Prepared], budget: Budget) -> list[list[int]]:
    """Return batches of indices into `inputs` that fit and take the fewest positions, batch costs included.

    The longest inputs come first: if memory runs out, it does at the start, and small batches are left for
    the end, where several devices finish together. Equal inputs in equal order give equal batches.
    """
    order = sorted(range(len(inputs)), key=lambda i: (-inputs[i].tokens, -inputs[i].visual_tokens, i))
    tokens = [max(1, inputs[i].tokens) for i in order]
    visual = [0, *accumulate(inputs[i].visual_tokens for i in order)]
    # least[end] is what the first `end` inputs take at best, and begins[end] where their last batch begins.
    least = [0]
    begins = [0]
    for end in range(1, len(order) + 1):
        begin = end - 1
        best, best_begin = least[begin] + tokens[begin], begin
        while begin > 0 and end - begin < budget.items:
            begin -= 1
            taken = tokens[begin] * (end - begin)
            if taken > budget.tokens or visual[end] - visual[begin] > budget.visual_tokens:
                break
            if least[begin] + taken < best:
                best, best_begin = least[begin] + taken, begin
        least.append(best + budget.batch_cost)
        begins.append(best_begin)
    batches = []
    end = len(order)
    while end:
        batches.append(order[begins[end] : end])
        end = begins[end]
    return batches[::-1]
