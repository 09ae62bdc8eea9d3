"""What a predictions file promises: whole, self-contained, and strict about what it takes."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from chestxray.data import predictions
from small_predictions import make


@pytest.fixture
def file(tmp_path):
    """`file(change)` writes predictions whose table `change` has altered, and returns the path."""

    def write(change):
        predictions.write(make(), tmp_path / "p.parquet")
        table = pq.read_table(tmp_path / "p.parquet").to_pandas()
        change(table).to_parquet(tmp_path / "odd.parquet")
        return tmp_path / "odd.parquet"

    return write


def test_what_is_written_is_read_back_with_its_metadata(tmp_path):
    table = make(sex=["F", "M", "F", None], age=[3, 50, 80, 41])
    predictions.write(table, tmp_path / "new" / "p.parquet")
    again = predictions.read(tmp_path / "new" / "p.parquet")
    pd.testing.assert_frame_equal(again.rows, table.rows, check_dtype=False)
    np.testing.assert_array_equal(again.logits, table.logits)
    np.testing.assert_array_equal(again.targets, table.targets)
    assert (again.findings, again.about) == (table.findings, table.about)
    assert predictions.read_about(tmp_path / "new" / "p.parquet")["official_test_split"] is None
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["p.parquet"], "nothing is left beside it"


def test_pandas_users_find_one_column_per_finding(tmp_path):
    predictions.write(make(), tmp_path / "p.parquet")
    table = pd.read_parquet(tmp_path / "p.parquet")
    assert list(table)[3:] == ["logit/Mass", "target/Mass", "logit/Hernia", "target/Hernia"]
    assert (str(table["logit/Mass"].dtype), str(table["target/Mass"].dtype)) == ("float32", "int8")


def test_an_unknown_target_stays_unknown(tmp_path):
    table = make()
    table.targets[0, 1] = np.nan
    predictions.write(table, tmp_path / "p.parquet")
    assert np.isnan(predictions.read(tmp_path / "p.parquet").targets).tolist() == [[False, True]] + [[False] * 2] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="patient"), "no column patient; it has image_file_path"),
        (lambda t: t.drop(columns="target/Hernia"), "no column target/Hernia"),
        (lambda t: t[["image_file_path", "split", "patient"]], "no column"),
        (lambda t: t.assign(**{"logit/Hernia": [1, 2, np.nan, 3]}), "no finite number in row 2, column logit/Hernia"),
        (lambda t: t.assign(**{"target/Mass": [1, 2, 0, 0]}), "neither 0, 1 nor empty in row 1, column target/Mass"),
        (lambda t: t.assign(image_file_path=["a", "b", "a", "c"]), "a twice, in row 2"),
    ],
)
def test_a_damaged_file_is_refused_naming_column_and_row(file, change, message):
    with pytest.raises(ValueError, match=message):
        predictions.read(file(change))


def test_what_is_no_predictions_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="p.parquet does not exist"):
        predictions.read(tmp_path / "p.parquet")
    (tmp_path / "p.parquet").write_text("image,score\n")
    with pytest.raises(ValueError, match="p.parquet is no Parquet file"):
        predictions.read(tmp_path / "p.parquet")


def test_the_mean_probability_of_sure_models_keeps_their_ranks():
    logits = np.array([[200.0, 300.0], [300.0, 400.0]])  # all these probabilities are 1.0 in float64
    assert np.diff(predictions.mean_logit(logits, axis=1)) > 50


def test_a_bit_turned_over_anywhere_is_refused_or_changes_no_number(tmp_path):
    predictions.write(make(), tmp_path / "p.parquet")
    data = (tmp_path / "p.parquet").read_bytes()
    refused = 0
    for at in range(0, len(data), 7):
        (tmp_path / "p.parquet").write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
        try:
            again = predictions.read(tmp_path / "p.parquet")
        except ValueError as error:
            assert "p.parquet" in str(error) and "\n" not in str(error)
            refused += 1
        else:
            np.testing.assert_array_equal(again.logits, make().logits)
            np.testing.assert_array_equal(again.targets, make().targets)
    assert refused > 100
