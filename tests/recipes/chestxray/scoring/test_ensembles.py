"""Several models as one."""

import numpy as np
import pytest

from chestxray.scoring import ensembles
from small_predictions import make


def test_an_ensemble_is_the_mean_probability_whatever_the_order_of_rows():
    one, other = make(seed=0), make(seed=1)
    both = ensembles.average([one, other.where([3, 1, 0, 2])])
    probability = [1 / (1 + np.exp(-table.logits)) for table in (one, other)]
    np.testing.assert_allclose(1 / (1 + np.exp(-both.logits)), np.mean(probability, axis=0))
    assert both.about["models"] == [{"checkpoint": "m0"}, {"checkpoint": "m1"}]


def test_members_that_do_not_match_are_refused_naming_the_image():
    one = make()
    with pytest.raises(ValueError, match="x is in B but not in A"):
        ensembles.average([one, make(("a", "b", "c", "x")).where([0, 1, 2, 3])][::-1], ["B", "A"])
    with pytest.raises(ValueError, match="d is in A but not in B .1 such images"):
        ensembles.average([one, make().where([0, 1, 2])], ["A", "B"])
    odd = make()
    odd.targets[2, 1] = 0
    with pytest.raises(ValueError, match="c has another target for Hernia in B than in A"):
        ensembles.average([one, odd], ["A", "B"])
    with pytest.raises(ValueError, match="b is in another split in B"):
        ensembles.average([one, make(split=["validation", "test", "test", "test"])], ["A", "B"])
