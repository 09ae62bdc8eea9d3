"""Numbers of models scored at other hospitals, from small predictions files."""

import json

import numpy as np
import pandas as pd
import pytest

from chestxray.data import predictions
from chestxray.scoring import transfer
from multilabel_auroc import auroc_report


def write_predictions(path, findings, healthy=(), seed=0):
    """60 images of test, two per patient; nobody has the findings in `healthy`, and a tenth of labels is unknown."""
    rng, n = np.random.default_rng(seed), 60
    rows = pd.DataFrame({"image_file_path": [f"{number}.png" for number in range(n)], "split": "test"})
    rows["patient"] = [str(number // 2) for number in range(n)]
    targets = (rng.random((n, len(findings))) < 0.4).astype(float)
    targets[rng.random(targets.shape) < 0.1] = np.nan
    targets[:, [findings.index(name) for name in healthy]] = 0
    about = {"dataset": path.stem, "synthetic": False, "models": [{"checkpoint": "/runs/a", "sha256": "f" * 64}]}
    logits = rng.normal(size=targets.shape) + np.nan_to_num(targets)
    predictions.write(predictions.Predictions(rows, logits, targets, findings, about), path)
    return path


def model(name="a", trained_on=(), views="all", labeler="chexpert", equalized=False):
    return transfer.Model(name, f"/runs/{name}", list(trained_on), False, views, labeler, equalized)


@pytest.fixture
def files(tmp_path):
    """Two hospitals that call Effusion by two names and order it otherwise; nobody has a Mass in the second."""
    one = write_predictions(tmp_path / "one.parquet", ["Mass", "Effusion", "Edema"])
    two = write_predictions(tmp_path / "two.parquet", ["Pleural Effusion", "Mass"], healthy=["Mass"], seed=1)
    return {("a", "one"): one, ("a", "two"): two}


@pytest.fixture
def targets(tmp_path):
    return [transfer.Target("one", str(tmp_path / "one")), transfer.Target("two", str(tmp_path / "two"), "negbio")]


def test_findings_are_matched_by_their_canonical_names(files, targets):
    findings = transfer.shared_findings({"model": ["Mass", "Pleural Effusion"], "two": ["Effusion", "Mass", "Edema"]})
    assert findings == ["Mass", "Effusion"]
    result = transfer.score_transfer([model()], targets, files, findings, "test", "all")
    table = predictions.read(files["a", "two"])
    expected = auroc_report(table.logits[:, :1], table.targets[:, :1], table.rows["patient"], label_names=["Effusion"])
    assert result.cells["a", "two"]["findings"]["Effusion"]["auroc"] == expected["auroc/Effusion"]
    assert (result.cells["a", "two"]["n_images"], result.cells["a", "two"]["n_patients"]) == (60, 30)


def test_a_mean_is_over_the_findings_that_every_dataset_has_both_classes_of(files, targets):
    result = transfer.score_transfer([model()], targets, files, ["Mass", "Effusion"], "test", "all")
    assert result.averaged == ["Effusion"]
    for cell in result.cells.values():
        assert cell["auroc"] == cell["findings"]["Effusion"]["auroc"]
    assert np.isnan(result.cells["a", "two"]["findings"]["Mass"]["auroc"])
    json.dumps(transfer.as_json(result), allow_nan=False)
    nothing = transfer.score_transfer([model()], targets, files, ["Mass"], "test", "all")
    assert nothing.averaged == [] and np.isnan(nothing.cells["a", "one"]["auroc"])


def test_nothing_in_common_is_refused_and_everybodys_findings_are_named():
    with pytest.raises(ValueError, match="no finding is known to all .* the model a: Mass; the dataset one: Edema"):
        transfer.shared_findings({"the model a": ["Mass"], "the dataset one": ["Edema"]})


def test_a_choice_that_models_differ_in_must_be_made():
    models = [model("a"), model("b", views="frontal")]
    assert transfer.common_choice("labeler", models) == "chexpert"
    with pytest.raises(ValueError, match="different views: all for a, frontal for b. Give --views"):
        transfer.common_choice("views", models)


def test_every_choice_of_images_and_labels_has_a_file_of_its_own(targets):
    one, two = targets
    assert transfer.predictions_file(model(), one) == "a-on-one.parquet"
    assert transfer.predictions_file(model(), two) == "a-on-two-negbio.parquet"
    chosen = model(views="frontal", equalized=True)
    assert transfer.predictions_file(chosen, one) == "a-on-one-frontal-equalized.parquet"


def test_the_numbers_name_no_place_and_say_where_a_model_is_at_home(files, targets, tmp_path):
    home = model(trained_on=[f"{tmp_path}/elsewhere/../one"], equalized=True)
    result = transfer.as_json(transfer.score_transfer([home], targets, files, ["Effusion"], "test", "all"))
    assert [cell["trained_on"] for cell in result["cells"]] == [True, False]
    assert result["models"] == [
        {"name": "a", "checkpoint": "a", "trained_on": ["one"], "trained_equalized": False, "equalized": True}
    ]
    assert result["datasets"][1] == {
        **{"name": "two", "source": "two", "labeler": "negbio"},
        **{"dataset": "two", "synthetic": False},
    }
    assert str(tmp_path) not in json.dumps(result)
