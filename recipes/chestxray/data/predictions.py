"""The predictions of a model for every image, as one Parquet file. All scores can be computed from it again.

Columns: `image_file_path`, `split`, `patient`; `study`, `sex`, `age`, `view` where the dataset has them; and for each
finding `logit/NAME` (float32) and `target/NAME` (0 or 1, empty where unknown). The schema's metadata hold, under
`chestxray`, a JSON object with the findings in order, the dataset and the models.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from chestxray.data.official_test import is_official
from chestxray.data.table_files import KEY
from chestxray.files import whole_file

REQUIRED = ("image_file_path", "split", "patient")
OPTIONAL = ("study", "sex", "age", "view")


@dataclass(frozen=True)
class Predictions:
    """n images (or studies, or patients), k findings.

    Attributes:
        rows: n rows with the columns above, without the findings.
        logits: (n, k) float64; where several models were averaged, the logit of their mean probability.
        targets: (n, k) float64 of 0, 1 and NaN for unknown.
        findings: k names.
        about: `dataset` (its name), `source` (where it was read from), `synthetic`, `may_be_passed_on`,
            `validation_source` (the dataset of the validation rows, None if it is the same), `notes` (sentences for
            the reader of the scores), `digests` ({split: `Split.digests`}), and `models`, a list of dicts of
            `checkpoint`, `sha256`, `tta`. Its paths are of this machine, and others must not see them; see
            `places.public_about`.
    """

    rows: pd.DataFrame
    logits: np.ndarray
    targets: np.ndarray
    findings: list
    about: dict = field(default_factory=dict)

    def where(self, chosen: "np.ndarray | Sequence") -> "Predictions":
        """The rows that a boolean mask, or an array of positions, chooses."""
        chosen = np.asarray(chosen)
        rows = self.rows[chosen] if chosen.dtype == bool else self.rows.iloc[chosen]
        return replace(self, rows=rows.reset_index(drop=True), logits=self.logits[chosen], targets=self.targets[chosen])

    def of(self, split: str) -> "Predictions":
        """The rows of one split. Raises ValueError if there are none."""
        mask = (self.rows["split"] == split).to_numpy()
        if not mask.any():
            raise ValueError(f"the predictions have no rows of {split}; they have {', '.join(set(self.rows['split']))}")
        return self.where(mask)


# The file


def write(predictions: Predictions, path: Path) -> None:
    """Write beside `path`, then rename, so that the file is either whole or not there."""
    table = predictions.rows.copy()
    whole = not np.isnan(predictions.targets).any()
    for column, name in enumerate(predictions.findings):
        table[f"logit/{name}"] = predictions.logits[:, column].astype(np.float32)
        table[f"target/{name}"] = predictions.targets[:, column].astype(np.int8 if whole else np.float32)
    official = is_official(table["image_file_path"][table["split"] == "test"])
    about = {"findings": list(predictions.findings), **predictions.about, "official_test_split": official}
    about["columns"] = list(table)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), KEY: json.dumps(about).encode()})
    with whole_file(path) as part:
        pq.write_table(arrow, part, write_page_checksum=True)


def read_about(path: Path) -> dict:
    """The JSON object of the schema's metadata, {} where there is none. Raises ValueError: no Parquet file."""
    with name_unreadable_file(path):
        metadata = pq.read_schema(path).metadata or {}
        about = json.loads(metadata.get(KEY, b"{}"))
        if not isinstance(about, dict):
            raise ValueError(f"its metadata are {about!r:.80}")
        return about


def read_columns(path: Path) -> pd.DataFrame:
    """The file's table, its pages compared with their checksums where it has any."""
    with name_unreadable_file(path):
        # The metadata that pandas writes about itself are not needed, and may be damaged.
        return pq.read_table(path, page_checksum_verification=True).to_pandas(ignore_metadata=True)


@contextmanager
def name_unreadable_file(path: Path) -> Iterator[None]:
    """Turn any error of pyarrow about a file into one ValueError that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} is no Parquet file, or a damaged one: {reason}. Predict again.") from error


def read(path: Path) -> Predictions:
    """A file as `write` leaves it, or any Parquet file with its columns.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no Parquet file; a column is missing, a logit is not finite, a target is no 0, 1 or empty cell,
            an image comes twice. The message names the file, the column and the row.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    about, table = read_about(path), read_columns(path)
    findings = about.pop("findings", None) or [name[6:] for name in table if str(name).startswith("logit/")]
    about.pop("official_test_split", None)  # computed from the images' names each time
    wanted = [*REQUIRED, *(f"{kind}/{name}" for name in findings for kind in ("logit", "target"))]
    wanted = list(dict.fromkeys([*wanted, *about.pop("columns", ())]))
    if missing := [name for name in wanted if name not in table]:
        raise ValueError(f"{path} has no column {', '.join(missing)}; it has {', '.join(table.columns)}")
    if not findings:
        raise ValueError(f"{path} has no column logit/NAME, so no finding; it has {', '.join(table.columns)}")
    with name_unreadable_file(path):
        logits, targets = (
            table[[f"{kind}/{name}" for name in findings]].to_numpy(np.float64) for kind in ("logit", "target")
        )
    _refuse(~np.isfinite(logits), "logit", "no finite number", path, findings)
    _refuse(~np.isin(targets, (0, 1)) & ~np.isnan(targets), "target", "neither 0, 1 nor empty", path, findings)
    if (twice := table["image_file_path"].duplicated()).any():
        raise ValueError(f"{path} has {table['image_file_path'][twice].iloc[0]} twice, in row {int(twice.argmax())}")
    kept = [name for name in (*REQUIRED, *OPTIONAL) if name in table]
    return Predictions(table[kept], logits, targets, list(findings), about)


def _refuse(wrong, kind, what, path, findings):
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        raise ValueError(f"{path} has {what} in row {row}, column {kind}/{findings[column]}")


def mean_logit(logits: np.ndarray, axis: int) -> np.ndarray:
    """The logit of the mean probability, along an axis, computed in logarithms so that nothing rounds to 0 or 1.

    >>> mean_logit(np.array([0.0, 1000.0]), axis=0).round(4)  # probabilities 1/2 and 1: 3/4, odds 3
    np.float64(1.0986)
    """
    logits = np.asarray(logits, dtype=np.float64)
    present, absent = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)  # log p, log (1 - p)
    return np.logaddexp.reduce(present, axis=axis) - np.logaddexp.reduce(absent, axis=axis)
