"""What may be given as scores, references and patients, and what is refused by the name of its row."""

import doctest
import math

import numpy as np
import pytest
import torch

from auroc_by_hand import tied_data
from multilabel_auroc import auroc_report, compare, inputs

SCORES, REFERENCES = [[0.1, 0.9], [0.4, 0.3], [0.8, 0.2]], [[0, 1], [1, 0], [1, 0]]
NAMES = ["Mass", "Hernia"]


class OtherDevice:
    """A tensor that NumPy cannot read until it has been moved, as one on a GPU."""

    def __init__(self, tensor):
        self.tensor = tensor

    def detach(self):
        return self

    def cpu(self):
        return self.tensor.detach()

    def __array__(self, *args, **kwargs):
        raise TypeError("can't convert device tensor to numpy")


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.tolist(),
        lambda x: x.astype(np.float16),
        lambda x: x.astype(int),
        lambda x: torch.tensor(x, requires_grad=True),
        lambda x: torch.tensor(x).half(),
        lambda x: torch.tensor(x).bfloat16(),
        lambda x: list(torch.tensor(x).bfloat16()),
        lambda x: OtherDevice(torch.tensor(x).bfloat16()),
    ],
)
def test_scores_of_any_kind_give_the_same(convert):
    scores, references, groups = tied_data(22)
    expected = auroc_report(scores, references, groups)
    assert auroc_report(convert(scores), references, groups) == expected
    assert compare(convert(scores), scores, references)["difference"] == 0


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.tolist(),
        lambda x: x.astype(np.uint8),
        lambda x: x.astype(np.float32),
        torch.tensor,
        lambda x: torch.tensor(x).float(),
        lambda x: list(torch.tensor(x).long()),
    ],
)
def test_references_of_any_kind_give_the_same(convert):
    scores, references, groups = tied_data(23)
    assert auroc_report(scores, convert(references), groups) == auroc_report(scores, references, groups)


@pytest.mark.parametrize(
    "name_groups",
    [
        lambda g: [f"patient-{i}" for i in g],
        lambda g: [(i, "x") for i in g],
        torch.tensor,
        lambda g: np.array([f"{i}" for i in g]),
        lambda g: g.tolist(),
    ],
)
def test_patients_of_any_kind_give_the_same(name_groups):
    scores, references, groups = tied_data(24)
    expected = auroc_report(scores, references, groups)
    assert auroc_report(scores, references, name_groups(groups)) == expected
    assert expected["n_groups"] == len(set(groups.tolist())) and expected["n_images"] == 60


@pytest.mark.parametrize(
    "change, message",
    [
        ({"prediction_scores": [[0.1, 0.9], [0.4, math.nan], [0.8, 0.2]]}, r"NaN in row 1, column 1 \(Hernia\)"),
        ({"prediction_scores": [[0.1, 0.9], [0.4, 0.3]]}, r"prediction_scores has shape \(2, 2\) .* \(3, 2\)"),
        ({"prediction_scores": [0.1, 0.4, 0.8]}, r"prediction_scores has shape \(3,\)"),
        ({"references": [[0, 1], [1, 0], [1, 2]]}, r"references is 2 in row 2, column 1 \(Hernia\): .* 0, 1 or NaN"),
        ({"references": [[0, 1], [0.5, 0], [1, 0]]}, r"references is 0.5 in row 1, column 0 \(Mass\)"),
        ({"references": [[1], [0, 1], []]}, "references is no table: expected one row per image"),
        ({"references": [0, 1, 0]}, "references is no table: expected one row per image"),
        ({"references": [["0"], ["1"], ["0"]]}, "references is no table: expected one row per image"),
        ({"references": [[0], [None], [1]]}, "references is no table: expected one row per image"),
        ({"groups": [1, 1]}, "groups has 2 entries for 3 rows"),
        ({"groups": [1, None, 1]}, "groups is missing in row 1"),
        ({"groups": [1, 1, math.nan]}, "groups is missing in row 2"),
        ({"label_names": ["Mass"]}, "label_names must be 2 different names"),
        ({"label_names": ["Mass", "Mass"]}, "label_names must be 2 different names"),
        ({"interval": "delong"}, "interval must be one of .*'delong'"),
        ({"confidence_level": 95}, "confidence_level must lie between 0 and 1, got 95"),
        ({"n_resamples": 0}, "n_resamples must be at least 1"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    given = {"prediction_scores": SCORES, "references": REFERENCES, "label_names": NAMES} | change
    with pytest.raises(ValueError, match=message):
        auroc_report(**given)


def test_compare_names_the_model_whose_scores_are_wrong():
    with pytest.raises(ValueError, match=r"scores_b has shape \(2, 2\)"):
        compare(SCORES, SCORES[:2], REFERENCES)
    with pytest.raises(ValueError, match=r"scores_a is NaN in row 0, column 0 \(0\)"):
        compare([[math.nan, 0.9], *SCORES[1:]], SCORES, REFERENCES)


def test_docstring_examples_run():
    failed, attempted = doctest.testmod(inputs)
    assert failed == 0 and attempted >= 3
