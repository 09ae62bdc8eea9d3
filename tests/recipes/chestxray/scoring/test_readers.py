"""The model against radiologists, beside the dataset's labels on the same images."""

import csv
import doctest
import json
import re

import numpy as np
import pandas as pd
import pytest

import score
from chestxray.data import labels, predictions, reading_files
from chestxray.scoring import readers
from conftest import NIH
from multilabel_auroc import auroc, auroc_covariance

GOOGLE = NIH / "google2019_nih-chest-xray-labels.csv.gz"
FINDINGS = ["Nodule", "Mass", "Effusion"]
N = 600


@pytest.fixture
def scored():
    """Two images of each patient; the scores follow Effusion as the dataset has it."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"image_file_path": [f"images/{number:08}_000.png" for number in range(N)], "split": "test"})
    rows["patient"] = [str(number // 2) for number in range(N)]
    targets = (rng.random((N, 3)) < 0.3).astype(float)
    return predictions.Predictions(rows, rng.normal(size=(N, 3)) + targets, targets, FINDINGS, {})


def file_of(folder, names, **columns):
    pd.DataFrame({"image": names, **columns}).to_csv(folder / "readers.csv", index=False)
    return reading_files.read(folder / "readers.csv")


def names_of(scored):
    return scored.rows["image_file_path"].str[7:]


def test_counts_and_areas_are_those_of_the_images_with_a_reading_and_a_label(scored, tmp_path):
    scored.targets[:20, 2] = np.nan
    read = np.where(np.arange(N) < 50, -1, scored.targets[:, 2] * (np.arange(N) % 4 > 0))
    read = np.where(np.isnan(read), 1, read).astype(int)
    row = readers.score(scored, file_of(tmp_path, names_of(scored), Effusion=read)).table.loc["Effusion"]
    known = np.arange(N) >= 50
    assert (row["images"], row["patients"]) == (N - 50, (N - 50) // 2)
    assert row["labelled"] == scored.targets[known, 2].sum() and row["read"] == row["both"] == read[known].sum()
    assert row["ppv"] == row["both"] / row["labelled"] and row["sensitivity"] == 1
    references = np.column_stack([read, scored.targets[:, 2]])[known]
    expected = auroc(scored.logits[known][:, [2, 2]], references)
    assert [row["reader_auroc"], row["label_auroc"]] == pytest.approx(expected)
    assert row["difference"] == pytest.approx(expected[0] - expected[1])


def test_the_interval_of_the_difference_agrees_with_the_analytic_variance(scored, tmp_path):
    read = np.where(np.arange(N) % 3, scored.targets[:, 2], 1 - scored.targets[:, 2])
    row = readers.score(scored, file_of(tmp_path, names_of(scored), Effusion=read)).table.loc["Effusion"]
    columns = scored.logits[:, [2, 2]], np.column_stack([read, scored.targets[:, 2]]), scored.rows["patient"]
    covariance = auroc_covariance(*columns)
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert row["difference_high"] - row["difference_low"] == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert row["difference_low"] < row["difference"] < row["difference_high"] < 0 and row["p_value"] < 0.001


def test_equal_labels_differ_by_nothing(scored, tmp_path):
    row = readers.score(scored, file_of(tmp_path, names_of(scored), Effusion=scored.targets[:, 2])).table.loc[
        "Effusion"
    ]
    assert (row["difference"], row["difference_low"], row["difference_high"], row["p_value"]) == (0, 0, 0, 1)


def test_a_union_is_scored_by_the_probability_of_at_least_one(scored, tmp_path):
    read = scored.targets[:, :2].max(axis=1)
    file = file_of(tmp_path, names_of(scored), **{"Nodule or mass": read})
    row = readers.score(scored, file).table.loc["Nodule or mass"]
    probabilities = 1 - np.prod(1 - 1 / (1 + np.exp(-scored.logits[:, :2])), axis=1)
    assert row["findings"] == "Nodule or Mass" and row["labelled"] == row["both"] == read.sum()
    assert row["reader_auroc"] == pytest.approx(auroc(probabilities[:, None], read[:, None])[0])


def test_one_known_positive_makes_a_union_positive_and_an_unknown_makes_it_unknown():
    targets = np.array([[1, np.nan], [0, np.nan], [0, 0], [1, 0]])
    np.testing.assert_array_equal(readers.union_target(targets), [1, np.nan, 0, 1])


def test_what_cannot_be_scored_is_named_with_the_reason(scored, tmp_path):
    columns = {"Fracture": 1, "Airspace opacity": 1, "Effusion": scored.targets[:, 2]}
    result = readers.score(scored, file_of(tmp_path, names_of(scored), **columns))
    assert list(result.table.index) == ["Effusion"]
    assert result.left_out["Fracture"] == "none of NIH's 14 findings is a fracture"
    assert result.left_out["Airspace opacity"].startswith("the model has no score for Consolidation, Infiltration")


def test_other_images_of_the_file_are_counted_and_no_overlap_is_an_error(scored, tmp_path):
    result = readers.score(scored, file_of(tmp_path, [*names_of(scored)[:9], "x1.png", "x2.png"], Effusion=1))
    assert (result.n_scored, result.n_covered, result.n_unused) == (N, 9, 2)
    assert np.isnan(result.table.loc["Effusion", "reader_auroc"]), "all readings are positive"
    with pytest.raises(
        ValueError, match="readers.csv names no image of the scored images: for example 'x1.png' .*00000"
    ):
        readers.score(scored, file_of(tmp_path, ["x1.png"], Effusion=1))


@pytest.mark.skipif(not GOOGLE.is_file(), reason="NIH's own files are not on this machine (../shared/nih)")
@pytest.mark.usefixtures("no_pictures")
def test_nihs_labels_agree_with_the_radiologists_as_was_measured_before(tmp_path, capsys):
    """The four figures were counted independently on the 1,962 images: PPV 97/200 and 134/237, sensitivity 97/195 and
    134/295. The scores here are random numbers."""
    wanted = set((NIH / "test_list.txt").read_text().split())
    with open(NIH / "Data_Entry_2017_v2020.csv", newline="") as file:
        entries = [entry for entry in csv.DictReader(file) if entry["Image Index"] in wanted]
    findings = labels.nih14()
    targets = np.array([[name in entry["Finding Labels"].split("|") for name in findings] for entry in entries], float)
    rows = pd.DataFrame({"image_file_path": [f"images/{entry['Image Index']}" for entry in entries], "split": "test"})
    rows["patient"] = rows["image_file_path"].str[7:15]
    logits = np.random.default_rng(0).normal(size=targets.shape)
    table = predictions.Predictions(rows, logits, targets, findings, {"dataset": "NIH ChestX-ray14"})
    predictions.write(table, tmp_path / "predictions.parquet")

    score.main([str(tmp_path / "predictions.parquet"), "--labels", str(GOOGLE)])
    card = json.loads((tmp_path / "scorecard.json").read_text())["readers"]
    keys = ("images", "both", "labelled", "read")
    counts = {name: tuple(row[key] for key in keys) for name, row in card["table"].items()}
    assert counts["Pneumothorax"] == (1_962, 97, 200, 195)
    assert counts["Nodule or mass"] == (1_962, 134, 237, 295)
    assert (card["n_covered"], card["n_unused"]) == (1_962, 2_414)
    for text in (capsys.readouterr().out, *((tmp_path / f"report.{kind}").read_text() for kind in ("md", "html"))):
        assert "It covers 1,962 of the 25,596 scored images of test" in text
        assert "Left out: Fracture" in text and GOOGLE.name in text and str(NIH) not in text
        assert re.search(r"0\.497\D+0\.485", text) and re.search(r"0\.454\D+0\.565", text)


def test_the_docstrings_examples_run():
    result = doctest.testmod(readers)
    assert result.attempted and not result.failed
