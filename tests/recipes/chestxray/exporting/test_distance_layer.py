"""The distance as a layer: the same as NumPy's, for every side of the image."""

import numpy as np
import pytest
import torch

from chestxray.exporting.distance_layer import DistanceLayer
from chestxray.models.described import COPY, small_copy
from chestxray.scoring import feature_statistics

FEATURES = 5


@pytest.mark.parametrize("side", [32, 36, 75, 160])
def test_the_layer_gives_the_distance_of_the_statistics(side):
    random = np.random.default_rng(side)
    described = random.normal(3, 2, (90, FEATURES + COPY * COPY)).astype(np.float32)
    references = feature_statistics.fit(described[:60], described[60:], COPY * COPY)
    images = torch.from_numpy(random.normal(0, 1, (4, 3, side, side)).astype(np.float32))
    features = torch.from_numpy(described[:4, :FEATURES])
    found = DistanceLayer(references, side)(features, images).numpy()
    wanted = feature_statistics.distances(references, np.hstack([features.numpy(), small_copy(images).numpy()]))
    assert found.shape == (4,)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
