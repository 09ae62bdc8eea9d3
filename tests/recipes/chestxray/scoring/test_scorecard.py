"""The numbers of a scorecard: what they rest on, what they leave undefined, and what is refused."""

from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest

from chestxray.data import official_test, predictions
from chestxray.files import digest
from chestxray.reporting import model_card, plots, score_page
from chestxray.scoring import scorecard
from multilabel_auroc import auroc_report, compare

FINDINGS = ["Mass", "Nodule", "Hernia"]


def make(seed=0, n=400, **about):
    """Half the images in validation, two of each patient; targets are the same for every seed, logits good."""
    rng = np.random.default_rng(0)
    patient = np.arange(n) // 2
    rows = pd.DataFrame(
        {
            "image_file_path": [f"images/{number:08d}_000.png" for number in range(n)],
            "split": np.repeat(["validation", "test"], n // 2),
            "patient": [f"{number:08d}" for number in patient],
            "sex": np.array(["F", "M"])[patient % 2],
            "age": 20 + patient % 60,
            "view": rng.choice(["PA", "AP"], n),
        }
    )
    targets = (rng.random((n, 3)) < 0.3).astype(float)
    logits = np.random.default_rng(seed).normal(size=targets.shape) + 1.5 * targets
    return predictions.Predictions(rows, logits, targets, FINDINGS, about)


def test_thresholds_and_calibration_know_nothing_of_test():
    table = make()
    test = (table.rows["split"] == "test").to_numpy()
    spoilt = replace(table, logits=table.logits.copy(), targets=table.targets.copy())
    spoilt.logits[test], spoilt.targets[test] = -3 * table.logits[test], 1 - table.targets[test]
    ours, theirs = scorecard.make(table), scorecard.make(spoilt)
    pd.testing.assert_series_equal(ours.rules["logit"], theirs.rules["logit"])
    fitted = ["slope", "intercept"]
    pd.testing.assert_frame_equal(ours.calibration[fitted], theirs.calibration[fitted])
    assert ours.findings.loc["mean", "specificity"] != theirs.findings.loc["mean", "specificity"]


def test_a_finding_with_one_class_is_undefined_and_named():
    table = make()
    table.targets[table.rows["split"] == "validation", 0] = 0
    table.targets[table.rows["split"] == "test", 1] = 0
    card = scorecard.make(table)
    assert "Nodule: AUROC is undefined and in no mean, because test has only positives or only negatives." in card.notes
    assert any(note.startswith("Mass: no threshold and no calibration, because ") for note in card.notes)
    called = ["sensitivity", "specificity", "ppv", "npv"]
    assert card.findings.loc["Mass", called].isna().all() and card.findings.loc["Mass", "auroc"] > 0.5
    assert card.calibration.loc["Mass"].isna().all()
    assert card.findings.loc["Nodule", ["auroc", *called]].isna().all()
    assert card.findings.loc["mean", "auroc"] == pytest.approx(card.findings.loc[["Mass", "Hernia"], "auroc"].mean())
    assert "over 2 of 3 findings" in score_page.summary(card)
    assert scorecard.as_json(card)["findings"]["Nodule"]["auroc"] is None


def test_the_interval_takes_the_patient_as_the_unit():
    table = make()
    test, row = table.of("test"), scorecard.make(table).findings.loc["Mass"]
    report = auroc_report(test.logits, test.targets, test.rows["patient"], label_names=FINDINGS)
    assert (row["auroc_low"], row["auroc_high"]) == (report["auroc_low/Mass"], report["auroc_high/Mass"])


def test_calibration_is_better_after_where_it_was_bad_before():
    mean = scorecard.make(make()).calibration.loc["mean"]
    assert mean["ece_after"] < 0.6 * mean["ece_before"] and mean["brier_after"] < mean["brier_before"]


def test_patients_are_scored_by_their_highest_image():
    table = make()
    card = scorecard.make(table, level="patient")
    test = table.of("test")
    highest = [part.reshape(100, 2, 3).max(axis=1) for part in (test.logits, test.targets)]
    expected = auroc_report(*highest, label_names=FINDINGS)
    assert card.findings.loc["Hernia", "auroc"] == pytest.approx(expected["auroc/Hernia"])
    assert "on 100 patients (200 images" in score_page.summary(card)


def test_two_models_are_compared_by_the_paired_test_whatever_the_order_of_rows():
    table, rival = make(), make(seed=1).where(np.random.default_rng(2).permutation(400))
    test, other = table.of("test"), make(seed=1).of("test")
    expected = compare(test.logits, other.logits, test.targets, test.rows["patient"], label_names=FINDINGS)
    found = scorecard.make(table, rival=rival).comparison
    figures = {name: value for name, value in expected.items() if name != "undefined"}
    assert {name: found[name] for name in figures} == pytest.approx(figures)
    assert found["n_groups"] == 100


def test_the_official_split_is_all_of_it_and_nothing_else(monkeypatch):
    table = make()
    names = sorted(path.rpartition("/")[2] for path in table.of("test").rows["image_file_path"])
    assert not scorecard.make(table).about["official"]
    monkeypatch.setattr(
        official_test, "TEST_NAMES", digest(*(f"{name}\n" for name in names))
    )  # this list in NIH's place
    monkeypatch.setattr(official_test, "TEST_IMAGES", len(names))
    assert scorecard.make(table).about["official"]
    assert not scorecard.make(table.where(np.arange(399))).about["official"]


def test_synthetic_data_are_called_so():
    assert scorecard.SYNTHETIC in scorecard.make(make(synthetic=True)).notes
    assert scorecard.SYNTHETIC not in scorecard.make(make(synthetic=False)).notes


@pytest.mark.parametrize("level", ["image", "patient"])
def test_without_validation_everything_else_is_scored_and_a_note_says_so(level):
    table = make()
    card, whole = (scorecard.make(part, level=level) for part in (table.of("test"), table))
    fitted = ["sensitivity", "specificity", "ppv", "npv"]
    pd.testing.assert_frame_equal(card.findings.drop(columns=fitted), whole.findings.drop(columns=fitted))
    pd.testing.assert_frame_equal(card.subgroups.drop(columns="missed"), whole.subgroups.drop(columns="missed"))
    for nothing in (card.findings[fitted], card.rules, card.calibration, card.subgroups["missed"]):
        assert nothing.isna().all(axis=None)
    assert not whole.subgroups["missed"].isna().all() and card.shortcuts.empty
    assert card.about["n_validation"] == 0 and card.notes[-1] == scorecard.NO_VALIDATION
    assert scorecard.NO_VALIDATION not in whole.notes
    assert scorecard.as_json(card)["thresholds"]["youden"]["Mass"]["logit"] is None


def page(card):
    with matplotlib.rc_context():
        return score_page.markdown(card, plots.draw(card))


def test_the_page_without_validation_has_no_section_that_needs_it():
    table = make()
    without, whole = page(scorecard.make(table.of("test"))), page(scorecard.make(table))
    assert without.index(scorecard.NO_VALIDATION) < without.index("## Findings")
    for needs in (
        "## Thresholds",
        "## Calibration",
        "metadata alone would",
        "sensitivity |",
        "missed",
        "one threshold",
    ):
        assert needs in whole and needs not in without, needs
    assert "| nan" not in without
    assert all("–" not in row for row in score_page.findings_table(scorecard.make(table.of("test"))).rows)
    card = model_card.model_card([scorecard.make(table.of("test"))])
    assert "Thresholds and calibration were fitted" not in card and "are not calibrated." in card


def test_too_few_positives_on_validation_give_no_threshold_and_no_calibration():
    table = make()
    on_validation = (table.rows["split"] == "validation").to_numpy()
    table.targets[on_validation, 0] = np.arange(200) < 4
    card = scorecard.make(table)
    assert "Mass: no threshold and no calibration, because validation has fewer than 5 positives (4)." in card.notes[1]
    assert card.rules["logit"].xs("Mass", level=1).isna().all() and card.calibration.loc["Mass"].isna().all()
    assert card.shortcuts.loc["Mass"].isna().all(), "nor do so few tell what the metadata alone would score"
    assert card.findings.loc["mean", "sensitivity"] == pytest.approx(
        card.findings.loc[["Nodule", "Hernia"], "sensitivity"].mean()
    )
    assert "over the 2 findings with a threshold" in page(card) and "over the 2 findings with a slope" in page(card)
    assert "mean ECE over the 2 of 3 findings that could be calibrated" in model_card.model_card([card])


def test_units_are_counted_and_not_images():
    table = make()
    on_validation = (table.rows["split"] == "validation").to_numpy()
    table.targets[on_validation, 0] = np.arange(200) < 8  # of four patients
    assert scorecard.make(table, level="image").validation.loc["Mass", "positives"] == 8
    card = scorecard.make(table, level="patient")
    assert card.validation.loc["Mass"].tolist() == [4, 96] and np.isnan(card.calibration.loc["Mass", "slope"])


def test_a_ranking_the_wrong_way_round_is_not_turned_by_calibration():
    table = make()
    table.logits[(table.rows["split"] == "validation").to_numpy(), 2] *= -3
    card = scorecard.make(table)
    assert "Hernia: no calibration, because the slope fitted on validation is not above zero" in card.notes[1]
    assert card.calibration.loc["Hernia"].isna().all() and np.isnan(card.probabilities[:, 2]).all()
    assert not np.isnan(card.rules.loc[("youden", "Hernia"), "logit"])


def test_a_sensitivity_that_so_few_positives_cannot_promise_is_said():
    table = make()
    table.targets[(table.rows["split"] == "validation").to_numpy(), 0] = np.arange(200) < 8
    words = "Do not expect a sensitivity of 0.9 on other patients for Mass (8):"
    assert words in page(scorecard.make(table)) and words not in page(scorecard.make(table, sensitivity=0.85))


def test_validation_of_another_dataset_is_named_and_its_patients_are_others():
    table = make(source="/data/nih", validation_source="CheXpert")
    table.rows.loc[399, "patient"] = "00000007"  # a number that both datasets gave to somebody
    card = scorecard.make(table)
    assert "Thresholds and calibration come from validation of CheXpert, not of the scored dataset." in card.notes
    assert "chosen on validation of CheXpert alone, on 200 images" in page(card)
    same = scorecard.make(make(source="/data/nih", validation_source="/data/nih"))
    assert not any("/data/nih" in note for note in same.notes)


def test_a_finding_that_validation_of_another_dataset_does_not_label_is_named():
    table = make(source="/data/nih", validation_source="CheXpert")
    table.targets[(table.rows["split"] == "validation").to_numpy(), 0] = np.nan
    card = scorecard.make(table)
    assert "Mass: no threshold and no calibration, because validation has no labels for it." in card.notes
    assert card.findings.loc["Mass", "auroc"] > 0.5


def test_a_patient_on_both_sides_is_refused():
    table = make()
    table.rows.loc[399, "patient"] = "00000007"
    with pytest.raises(ValueError, match="patient 00000007 is in validation and in test"):
        scorecard.make(table)


def test_a_split_that_is_not_there_or_is_validation_is_refused():
    with pytest.raises(ValueError, match="no rows of tset"):
        scorecard.make(make(), split="tset")
    with pytest.raises(ValueError, match="fitted on validation"):
        scorecard.make(make(), split="validation")
