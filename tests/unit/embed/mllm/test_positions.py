"""Positions: the numbers of the published codes, and transformers' own."""

import numpy as np
import pytest

from mmrag.embed.mllm.positions import mrope, sequential


def test_sequential_counts_pictures_as_words() -> None:
    assert sequential(4).tolist() == [[0, 1, 2, 3]] * 3


def test_mrope_gives_the_listed_numbers() -> None:
    # a, vision_start, four of a 2 x 2 picture, vision_end, b
    found = mrope(np.array([0, 0, 1, 1, 1, 1, 0, 0], bool), [(2, 2)])
    assert found.tolist() == [
        [0, 1, 2, 2, 2, 2, 4, 5],
        [0, 1, 2, 2, 3, 3, 4, 5],
        [0, 1, 2, 3, 2, 3, 4, 5],
    ]


def test_words_alone_are_the_same_in_both() -> None:
    assert np.array_equal(mrope(np.zeros(5, bool), []), sequential(5))


@pytest.mark.parametrize("kind", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_mrope_is_that_of_transformers(kind: str, tiny) -> None:
    import torch
    import transformers

    model = transformers.AutoModel.from_pretrained(tiny(kind))
    rng = np.random.default_rng(3)
    for _ in range(20):
        grids, row = [], []
        for _ in range(int(rng.integers(0, 4))):
            grid = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
            # Two pictures never touch: a vision-end and a vision-start token stand between.
            row += [0] * int(rng.integers(1, 4)) + [1] * (grid[0] * grid[1])
            grids.append(grid)
        row += [0] * int(rng.integers(1, 4))
        expected, _ = model.get_rope_index(
            torch.zeros(1, len(row), dtype=torch.long),
            torch.tensor([row]),
            image_grid_thw=torch.tensor([[1, 2 * rows, 2 * columns] for rows, columns in grids]),
        )
        assert mrope(np.array(row, bool), grids).tolist() == expected[:, 0].tolist()
