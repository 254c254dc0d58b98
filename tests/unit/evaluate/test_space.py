import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mmrag.core.errors import ConfigError
from mmrag.evaluate.space import Questions, centred, found_by, means_of, nearest, odd_pictures, shape_of
from mmrag.evaluate.space_map import plane_of, space_map

DIM = 32


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def split_space(gap: float, *, n: int = 200, seed: int = 0) -> tuple[NDArray[np.float32], list[str]]:
    """The same n places once as texts and once as pictures, `gap` apart along one direction."""
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(n, DIM))
    away = np.zeros(DIM)
    away[0] = gap * np.sqrt(DIM)
    noise = rng.normal(size=(n, DIM)) * 0.3
    return unit(np.vstack([places + away, places - away + noise])), ["text"] * n + ["image"] * n


def asked(vectors: NDArray[np.float32], *, among: int = 200) -> Questions:
    """Each text asks for the picture of its place."""
    return Questions(vectors[:among], np.arange(among, 2 * among))


def test_a_gap_is_seen_and_centring_closes_it() -> None:
    vectors, modalities = split_space(2.0)
    before = shape_of(vectors, modalities)
    moved = centred(vectors, modalities, means_of(vectors, modalities))
    after = shape_of(moved, modalities)
    assert before.gap["image-text"] > 1.5
    assert before.other_neighbours == 0.0
    assert after.gap["image-text"] < 0.1
    assert after.other_neighbours == pytest.approx(after.other_by_chance, abs=0.1)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-5)


def test_questions_find_texts_across_a_gap_and_pictures_after_either_remedy() -> None:
    vectors, modalities = split_space(2.0)
    before = found_by(asked(vectors), vectors, modalities)
    assert (before.wrong_at_10, before.hit_at_10) == (1.0, 0.0), "texts stand before all pictures"
    moved = centred(vectors, modalities, means_of(vectors, modalities))
    assert found_by(asked(moved), moved, modalities).hit_at_10 > 0.9
    scaled = found_by(asked(vectors), vectors, modalities, calibrated=True)
    assert scaled.hit_at_10 > 0.8
    assert scaled.wrong_at_10 < 0.7


def test_the_means_are_equal_after_centring_before_vectors_are_scaled() -> None:
    vectors, modalities = split_space(1.0)
    means = means_of(vectors, modalities)
    names = np.array(modalities)
    left = {kind: (vectors[names == kind] - means[kind]).mean(axis=0) for kind in means}
    assert np.abs(left["text"] - left["image"]).max() < 1e-6


def test_without_a_gap_modality_does_not_matter() -> None:
    vectors, modalities = split_space(0.0)
    shape = shape_of(vectors, modalities)
    assert shape.gap["image-text"] < 0.1
    assert shape.other_neighbours == pytest.approx(shape.other_by_chance, abs=0.1)


def test_similarity_is_the_mean_over_pairs_of_different_vectors() -> None:
    vectors = unit(np.random.default_rng(1).normal(size=(30, DIM)) + 0.5)
    scores = vectors @ vectors.T
    mean = scores[~np.eye(30, dtype=bool)].mean()
    assert shape_of(vectors, ["text"] * 30).similarity["text"] == pytest.approx(mean, abs=1e-5)


def test_neighbours_are_those_of_a_full_sort() -> None:
    vectors = unit(np.random.default_rng(2).normal(size=(1500, DIM)))
    probes = np.arange(0, 1500, 100)
    scores = vectors[probes] @ vectors.T
    scores[np.arange(len(probes)), probes] = -np.inf
    wanted = np.argsort(-scores, axis=1)[:, :10]
    np.testing.assert_array_equal(nearest(vectors[probes], vectors, 10, without=probes), wanted)


def test_one_vector_is_no_space() -> None:
    with pytest.raises(ConfigError, match="1 vectors"):
        shape_of(unit(np.ones((1, DIM))), ["text"])


def test_near_duplicates_and_loners_are_named_by_their_places() -> None:
    rng = np.random.default_rng(3)
    around = rng.normal(size=DIM)
    pictures = unit(np.vstack([around + rng.normal(size=(20, DIM)) * 0.3, -around[None]]))
    pictures[7] = pictures[4]
    space = np.vstack([unit(rng.normal(size=(5, DIM))), pictures])
    odd = odd_pictures(space, np.arange(5, 26))
    assert odd.duplicates[0] == (9, 12, 1.0)
    assert odd.outliers[0][0] == 25


def test_the_map_keeps_the_two_main_directions() -> None:
    rng = np.random.default_rng(4)
    flat = np.zeros((300, DIM), np.float32)
    flat[:, 3] = rng.normal(size=300) * 5
    flat[:, 9] = rng.normal(size=300)
    points, kept = plane_of(flat)
    assert kept == pytest.approx(1.0)
    assert points.min() >= 0
    assert points.max() <= 1
    assert abs(np.corrcoef(points[:, 0], flat[:, 3])[0, 1]) > 0.999


def test_the_map_is_a_picture_with_a_colour_for_each_modality() -> None:
    vectors, modalities = split_space(2.0)
    picture = Image.open(io.BytesIO(space_map({"as it is": vectors, "again": vectors}, modalities)))
    colours = {colour for _, colour in picture.getcolors(1 << 16) or ()}
    assert {(36, 99, 178), (214, 96, 24)} <= colours
    assert picture.width > 2 * 700
