"""Anybody's table becomes predictions: the usual spellings are understood, and everything else is said."""

import doctest

import numpy as np
import pandas as pd
import pytest

from chestxray.data import prediction_tables, predictions
from chestxray.data.prediction_tables import LabelledImages

FINDINGS = ["Mass", "Effusion", "Pleural_Thickening"]
SPLITS = ["validation"] * 2 + ["test"] * 3 + ["train"]
NAMES = [f"{number:08}_000" for number in range(len(SPLITS))]
ABOUT = {"dataset": "NIH", "source": "/data/nih", "synthetic": False, "notes": ["From the dataset."]}
VALUES = np.random.default_rng(0).random((len(NAMES), 3)).round(6)


@pytest.fixture
def images():
    """Six images of six patients."""
    rows = pd.DataFrame({"image_file_path": [f"images/{name}.png" for name in NAMES], "split": SPLITS})
    rows["patient"], rows["sex"] = [name[:8] for name in NAMES], ["F", "M"] * 3
    return LabelledImages(rows, np.arange(18).reshape(6, 3) % 2.0, FINDINGS, ABOUT)


@pytest.fixture
def join(tmp_path, images):
    """`join(frame)` writes a table and joins it."""

    def write_and_join(frame, **options):
        frame.to_csv(tmp_path / "theirs.csv", index=False)
        return prediction_tables.join(prediction_tables.read(tmp_path / "theirs.csv"), images, "test", **options)

    return write_and_join


def frame_of(values=VALUES, headers=FINDINGS, names=NAMES):
    return pd.DataFrame(values, columns=headers).assign(image=names)


def notes(table):
    return " ".join(table.about["notes"])


def test_scores_are_joined_by_name_with_labels_patients_and_metadata(join, images):
    order = np.random.default_rng(1).permutation(6)
    table = join(frame_of(VALUES[order], names=np.array(NAMES)[order]))
    assert table.rows["image_file_path"].tolist() == images.rows["image_file_path"][:5].tolist()
    assert table.rows["sex"].tolist() == ["F", "M", "F", "M", "F"] and table.findings == FINDINGS
    np.testing.assert_array_equal(table.targets, images.targets[:5])
    np.testing.assert_allclose(1 / (1 + np.exp(-table.logits)), VALUES[:5])


@pytest.mark.parametrize(
    "headers",
    [
        ["mass", "Pleural Effusion", "pleural thickening"],
        ["prob_Mass", "prob_Effusion", "prob_Pleural_Thickening"],
        ["p_MASS", "p_pleural_effusion", "p_Pleural-Thickening"],
        ["Mass_pred", "score/Effusion", "logit Pleural Thickening"],
    ],
)
def test_usual_spellings_of_findings_are_understood(join, headers):
    table = join(frame_of(headers=headers))
    assert table.findings == FINDINGS and "Ignored" not in notes(table)


def test_values_decide_between_probabilities_and_logits_and_the_notes_say_which(join):
    taken = join(frame_of())
    assert "theirs.csv were taken as probabilities: all of them lie from 0 to 1." in notes(taken)
    logits = np.log(VALUES / (1 - VALUES)) * 3
    taken = join(frame_of(logits))
    assert "theirs.csv were taken as logits: they go from -" in notes(taken)
    np.testing.assert_allclose(taken.logits, logits[:5])
    assert "taken as logits" in notes(join(frame_of(VALUES + 0.5, ["logit_Mass", "Effusion", "Pleural_Thickening"])))


def test_probabilities_of_zero_and_one_stay_finite_and_outermost(join):
    values = VALUES.copy()
    values[:5, 0] = [0, 1, 1e-300, 1 - 1e-16, 0.5]
    logits = join(frame_of(values)).logits[:, 0]
    assert np.isfinite(logits.astype(np.float32)).all() and np.argsort(logits).tolist() == [0, 2, 4, 3, 1]


def test_what_is_missing_or_unknown_is_said(join):
    frame = frame_of(VALUES[:, :2], FINDINGS[:2]).assign(Fracture=1, when="now")
    frame = pd.concat([frame, frame.assign(image=[f"x{number}" for number in range(6)])])
    table = join(frame)
    said = notes(table)
    assert table.findings == FINDINGS[:2] and said.startswith("From the dataset. The values")
    assert "Ignored columns of theirs.csv, which are no finding of the dataset: Fracture, when." in said
    assert "theirs.csv has no column for Pleural_Thickening: these findings are in no score." in said
    assert "7 images of theirs.csv were not scored: 1 in train, 6 not found in the dataset." in said
    assert "It is not known which images the model of theirs.csv was trained on." in said


def test_missing_images_are_an_error_unless_allowed(join):
    with pytest.raises(
        ValueError, match="lacks 1 of the 3 images of test, for example images/00000003_000.png. To score"
    ):
        join(frame_of().drop(index=3))
    table = join(frame_of().drop(index=[0, 3]), allow_missing=True)
    assert table.rows["split"].tolist() == ["validation", "test", "test"]
    assert "lacks 1 of the 3 images of test: only the others are scored." in notes(table)
    assert "names 1 of the 2 images of validation: they alone are used." in notes(table)
    with pytest.raises(ValueError, match="lacks 3 of the 3 images of test, .* Give another --split"):
        join(frame_of().drop(index=[2, 3, 4]), allow_missing=True)


def test_validation_images_are_kept_if_the_table_names_them(join):
    assert set(join(frame_of()).rows["split"]) == {"validation", "test"}
    table = join(frame_of().drop(index=[0, 1]))
    assert set(table.rows["split"]) == {"test"} and "validation" not in notes(table)


def changed(row, value, column="Mass", values=VALUES):
    frame = frame_of(values).astype({column: object})
    frame.loc[row, column] = value
    return frame


LOGITS = np.array([[-3, 2, -1], [-4, -2, 3]] * 3)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (changed(2, ""), "theirs.csv, line 4, column Mass: '' is no finite number"),
        (changed(2, "nan"), "theirs.csv, line 4, column Mass: 'nan' is no finite number"),
        (changed(5, "high"), "theirs.csv, line 7, column Mass: 'high' is no finite number"),
        (changed(0, "inf", "Effusion"), "theirs.csv, line 2, column Effusion: 'inf' is no finite number"),
        (changed(1, 1.2), "theirs.csv, line 3, column Mass: '1.2' is no probability, .* call the columns logit_NAME"),
        (changed(1, -1), "theirs.csv, line 3, column Mass: '-1' is no probability"),
        (frame_of(100 * VALUES), "line 2, column Mass: .* is no probability"),
        (
            frame_of(LOGITS, ["prob_Mass", *FINDINGS[1:]]),
            "line 2, column prob_Mass: '-3' is no probability, from 0 to 1$",
        ),
        (frame_of().assign(prob_Mass=0.5), "theirs.csv has two columns for Mass, 'Mass' and 'prob_Mass': remove one"),
        (
            frame_of(headers=["a", "b", "c"]),
            "no column for a finding of NIH, which labels Mass, Effusion, .* has a, b, c",
        ),
        (
            frame_of(names=[*NAMES[:5], NAMES[2]]),
            "theirs.csv has 00000002_000 twice, in line 4 and line 7, column image",
        ),
        (frame_of(names=[f"x{name}" for name in NAMES]), "names no image of NIH: for example 'x00000000_000'"),
    ],
)
def test_what_cannot_be_scored_is_one_line_with_file_row_and_column(join, frame, message):
    with pytest.raises(ValueError, match=message):
        join(frame)


def test_what_was_joined_is_an_ordinary_predictions_file(join, tmp_path):
    table = join(frame_of())
    predictions.write(table, tmp_path / "predictions.parquet")
    again = predictions.read(tmp_path / "predictions.parquet")
    np.testing.assert_allclose(again.logits, table.logits, rtol=1e-6)
    (model,) = again.about["models"]
    assert (model["checkpoint"], model["tta"], len(model["sha256"])) == ("theirs.csv", "none", 64)
    assert str(tmp_path) not in str(again.about), "the table is known by its name alone"


def test_a_rival_is_joined_with_our_images_and_must_have_them_and_our_findings(join, tmp_path):
    ours = join(frame_of())
    frame_of(VALUES[::-1]).to_csv(tmp_path / "rival.csv")
    rival = prediction_tables.read_rival(prediction_tables.read(tmp_path / "rival.csv"), ours, "test")
    np.testing.assert_allclose(1 / (1 + np.exp(-rival.logits)), VALUES[::-1][2:5])
    assert rival.about["notes"][0].startswith("The values of rival.csv") and "not scored" not in notes(rival)
    frame_of().drop(index=4).to_csv(tmp_path / "rival.csv")
    with pytest.raises(
        ValueError, match="lacks 1 of the 3 images of test, .* Two models are compared on the same images"
    ):
        prediction_tables.read_rival(prediction_tables.read(tmp_path / "rival.csv"), ours, "test")
    frame_of().drop(columns="Mass").to_csv(tmp_path / "rival.csv")
    with pytest.raises(ValueError, match="rival.csv has no column for Mass: two models are compared"):
        prediction_tables.read_rival(prediction_tables.read(tmp_path / "rival.csv"), ours, "test")


def test_the_docstrings_examples_run():
    result = doctest.testmod(prediction_tables)
    assert result.attempted and not result.failed
