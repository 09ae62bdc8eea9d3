"""Splits are told apart by their content, put together in order, and refused if nothing can be learnt from them."""

from dataclasses import replace

import numpy as np
import pytest
from datasets import Dataset

from chestxray.images.splits import Split, concatenate_splits, refuse_unlabelled

NAN = float("nan")


def split(*names, target=1.0):
    rows = Dataset.from_dict({"image_file_path": list(names), "pixels": [name.encode() * 4 for name in names]})
    return Split(rows, np.full((len(names), 1), target, np.float32), [f"patient {name}" for name in names], 2)


def test_several_splits_are_one_in_order_each_drawn_as_its_weight_says():
    whole = concatenate_splits([split("a", "b", "c", "d"), split("e", target=0.0)], [1, 3])
    assert whole.names(range(5)) == list("abcde") and whole.patients[4] == "patient e"
    assert whole.targets[:, 0].tolist() == [1, 1, 1, 1, 0]
    assert whole.weights.tolist() == [0.25, 0.25, 0.25, 0.25, 3.0]
    assert concatenate_splits([split("a"), split("b")]).weights is None


def test_one_split_alone_stays_as_it_is():
    one = split("a", "b")
    assert concatenate_splits([one]) is one
    assert concatenate_splits([one], [2]).weights.tolist() == [1.0, 1.0]


def test_a_digest_changes_with_what_it_is_of():
    one, digests = split("a", "b"), split("a", "b").digests()
    assert set(digests) == {"rows", "pixels 2"} and one.digests() == digests
    others = split("a", "c"), split("a", "b", target=0.0), replace(one, patients=["patient a", "another"])
    assert all(other.digests()["rows"] != digests["rows"] for other in others)
    assert [other.digests()["pixels 2"] == digests["pixels 2"] for other in others] == [False, True, True]
    assert set(replace(one, equalize=True).digests()) == {"rows", "pixels 2 equalized"}


def test_a_finding_without_a_label_is_refused_by_name():
    refuse_unlabelled(split("a", "b"), ["Mass"])
    with pytest.raises(ValueError, match="no training image is labelled for Mass: choose other --findings"):
        refuse_unlabelled(split("a", "b", target=NAN), ["Mass"])
