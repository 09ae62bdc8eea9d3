"""Options that compare a model with itself are refused."""

import pytest

from chestxray.reporting.explain_options import ExplainOptions


def test_options_refuse_a_comparison_of_a_model_with_itself(tmp_path):
    same = str(tmp_path)
    with pytest.raises(ValueError, match="is the model itself: give another model, or --against-method"):
        ExplainOptions(checkpoint=same, against=f"{same}/")
    with pytest.raises(ValueError, match="the method is cam on both sides"):
        ExplainOptions(checkpoint=same, method="cam", against_method="cam")
    ExplainOptions(checkpoint=same, method="cam", against="other", against_method="cam").refuse_same_method("cam")
    with pytest.raises(ValueError, match="the method is cam on both sides"):
        ExplainOptions(checkpoint=same, against_method="cam").refuse_same_method("cam")
    assert ExplainOptions(checkpoint=same).output == tmp_path / "explain"
