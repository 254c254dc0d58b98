import numpy as np
import pytest

from mmrag.embed.dual.vectors import add_features, shorten, unit

TEXT = np.array([[1.0, 0.0]], np.float32)


@pytest.mark.parametrize(
    ("image", "expected"),
    [([0.6, 0.8], [0.894427, 0.447214]), ([1.2, 1.6], [0.808736, 0.588172])],
)
def test_a_longer_feature_counts_more(image: list[float], expected: list[float]) -> None:
    # The numbers are those of the method card on UniIR.
    seen = np.array([image], np.float32)
    total = add_features(1, [([0], TEXT, 1.0), ([0], seen, 1.0)])
    np.testing.assert_allclose(unit(total)[0], expected, atol=1e-6)


def test_each_row_gets_what_its_towers_saw() -> None:
    words = np.array([[1, 0], [2, 0]], np.float32)
    seen = np.array([[0, 1], [0, 3]], np.float32)
    total = add_features(3, [([0, 2], words, 2.0), ([1, 2], seen, 0.5)])
    np.testing.assert_array_equal(total, [[2, 0], [0, 0.5], [4, 1.5]])


def test_a_cut_vector_has_length_one_again() -> None:
    vectors = np.array([[3, 4, 12], [0, 0, 0]], np.float32)
    cut = shorten(vectors, 2)
    np.testing.assert_allclose(cut, np.array([[0.6, 0.8], [0, 0]]), atol=1e-6)
    assert cut.dtype == np.float32
    np.testing.assert_allclose(shorten(vectors, 3)[0], np.array([3, 4, 12]) / 13, atol=1e-6)
