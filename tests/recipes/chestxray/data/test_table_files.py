"""Files of predictions are told apart by their names and headers."""

import pandas as pd

from chestxray.data import predictions
from chestxray.data.table_files import is_prediction_table
from small_predictions import make


def test_tables_are_told_from_predictions_files(tmp_path):
    predictions.write(make(), tmp_path / "ours.parquet")
    pd.read_parquet(tmp_path / "ours.parquet").to_parquet(tmp_path / "copied.parquet")  # without our metadata
    theirs = pd.DataFrame({"image": ["00000001_000.png"], "Mass": [0.5]})
    theirs.to_parquet(tmp_path / "theirs.parquet")
    theirs.to_csv(tmp_path / "theirs.csv")
    (tmp_path / "damaged.parquet").write_text("no")
    kinds = {path.name: is_prediction_table(path) for path in tmp_path.iterdir()}
    assert kinds == {
        "ours.parquet": False,
        "copied.parquet": False,
        "damaged.parquet": False,
        "theirs.parquet": True,
        "theirs.csv": True,
    }
    assert is_prediction_table("runs/x.csv.gz") and not is_prediction_table("runs/x")
