"""Which files hold predictions, told by their names and headers. Light, because a command asks before it answers."""

from pathlib import Path

FORMS = (".csv", ".csv.gz", ".parquet")
KEY = b"chestxray"  # in the metadata of a predictions file's schema, see `predictions`
MARK = "table"  # in the `models` of an `about`: this model is known by its table alone


def is_prediction_table(file: str | Path) -> bool:
    """Whether a file is anybody's table: CSV, or a Parquet file that is no predictions file of score.py."""
    if not str(file).endswith(".parquet"):
        return str(file).endswith(FORMS)
    import pyarrow as pa  # a folder's or a CSV file's name is enough without
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(file)
    except (pa.ArrowException, OSError):
        return False  # `predictions.read` says what is wrong with it
    return KEY not in (schema.metadata or {}) and not any(name.startswith("logit/") for name in schema.names)
