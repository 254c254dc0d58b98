import numpy as np
import pytest

from mmrag.core.errors import ConfigError
from mmrag.core.types import Embeddings
from mmrag.index.vectors import GivenVectors
from mmrag.testing.samples import unit_vectors


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 20_000, 39_999])
def test_a_vector_with_nan_or_infinity_is_refused(wrong, at):
    vectors = unit_vectors(40_000, 4, seed=0)
    vectors[at, 3] = wrong
    with pytest.raises(ConfigError, match="NaN"):
        GivenVectors(np.arange(40_000), Embeddings.dense(vectors))
