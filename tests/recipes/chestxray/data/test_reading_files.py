"""A file of radiologists' labels: what its columns mean stands in one table, and its cells are yes, no or unknown."""

import numpy as np
import pytest

from chestxray.data import labels, reading_files


def read(folder, text, findings=()):
    (folder / "readers.csv").write_text(text)
    return reading_files.read(folder / "readers.csv", findings)


def test_every_answer_names_canonical_findings_and_a_reason():
    assert {"Pneumothorax", "Nodule or mass", "Airspace opacity", "Fracture"} <= set(reading_files.ANSWERS)
    for column, answer in reading_files.ANSWERS.items():
        assert answer.reason, column
        assert set(answer.findings) <= set(map(labels.canonical, labels.nih14())), column


def test_columns_mean_what_the_table_says_or_the_finding_of_their_name(tmp_path):
    header = "image,Nodule or mass,pleural effusion,Patient Gender,Fracture,No Finding"
    file = read(tmp_path, f"{header}\n1.png,YES,0,M,NO,1\n2.png,NO,1,F,,0\n")
    assert [(reading.column, reading.answer.findings) for reading in file.readings] == [
        ("Nodule or mass", ("Nodule", "Mass")),
        ("pleural effusion", ("Effusion",)),
        ("Fracture", ()),
    ]


def test_a_column_of_the_models_own_finding_counts(tmp_path):
    assert read(tmp_path, "image,Spiculated\n1.png,1\n", ["Spiculated"]).readings[0].answer.findings == ("Spiculated",)


def test_every_spelling_of_a_state_is_yes_no_or_unknown(tmp_path):
    cells = ["YES", "true", "1", "1.0", "No", "FALSE", "0", "0.0", "-1", "", "-1.0", "HEDGE"]
    file = read(tmp_path, "image,Mass\n" + "".join(f"{row}.png,{cell}\n" for row, cell in enumerate(cells)))
    np.testing.assert_array_equal(file.readings[0].states, [1] * 4 + [0] * 4 + [np.nan] * 4)


def test_what_is_no_label_is_one_line_with_file_row_and_column(tmp_path):
    with pytest.raises(ValueError, match="readers.csv, line 3, column Mass: 'maybe' is neither yes nor no"):
        read(tmp_path, "image,Mass\n1.png,YES\n2.png,maybe\n")
    with pytest.raises(
        ValueError, match="readers.csv has no column of readings; it has image, when. Known names are Pn"
    ):
        read(tmp_path, "image,when\n1.png,YES\n")
