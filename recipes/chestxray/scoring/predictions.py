"""What a model said of every image, as one Parquet file from which all scores can be made again.

Columns: `image_file_path`, `split`, `patient`; `study`, `sex`, `age`, `view` where the dataset has them; and for each
finding `logit/NAME` (float32) and `target/NAME` (0 or 1, empty where unknown). The schema's metadata hold, under
`chestxray`, a JSON object with the findings in order, the dataset and the models.
"""

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from chestxray.scoring import anchors

KEY = b"chestxray"
REQUIRED = ("image_file_path", "split", "patient")
OPTIONAL = ("study", "sex", "age", "view")
LEVELS = ("image", "study", "patient")


@dataclass(frozen=True)
class Predictions:
    """n images (or studies, or patients), k findings.

    Attributes:
        rows: n rows with the columns above, without the findings.
        logits: (n, k) float64; where several models were averaged, the logit of their mean probability.
        targets: (n, k) float64 of 0, 1 and NaN for unknown.
        findings: k names.
        about: `dataset` (its name), `source` (where it was read from), `synthetic`, `may_be_passed_on`,
            `validation_source` (the dataset of the validation rows, None where it is the same), `notes` (sentences for
            the reader of the scores), `digests` ({split: `Split.digest`}), and `models`, a list of dicts of
            `checkpoint`, `sha256`, `tta`. Paths in it are this machine's and for nobody else; see
            `places.public_about`.
    """

    rows: pd.DataFrame
    logits: np.ndarray
    targets: np.ndarray
    findings: list
    about: dict = field(default_factory=dict)

    def where(self, chosen):
        """The rows that a boolean mask, or an array of positions, chooses."""
        chosen = np.asarray(chosen)
        rows = self.rows[chosen] if chosen.dtype == bool else self.rows.iloc[chosen]
        return replace(self, rows=rows.reset_index(drop=True), logits=self.logits[chosen], targets=self.targets[chosen])

    def of(self, split):
        """The rows of one split. Raises ValueError where there are none."""
        mask = (self.rows["split"] == split).to_numpy()
        if not mask.any():
            raise ValueError(f"the predictions have no rows of {split}; they have {', '.join(set(self.rows['split']))}")
        return self.where(mask)


# The file


def write(predictions, path):
    """Write beside `path`, then rename, so that the file is either whole or not there."""
    table = predictions.rows.copy()
    whole = not np.isnan(predictions.targets).any()
    for column, name in enumerate(predictions.findings):
        table[f"logit/{name}"] = predictions.logits[:, column].astype(np.float32)
        table[f"target/{name}"] = predictions.targets[:, column].astype(np.int8 if whole else np.float32)
    official = anchors.is_official(table["image_file_path"][table["split"] == "test"])
    about = {"findings": list(predictions.findings), **predictions.about, "official_test_split": official}
    about["columns"] = list(table)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), KEY: json.dumps(about).encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.writing")
    pq.write_table(arrow, beside, write_page_checksum=True)
    beside.replace(path)


def read_about(path):
    """The JSON object of the schema's metadata, {} where there is none. Raises ValueError: no Parquet file."""
    with one_error(path):
        metadata = pq.read_schema(path).metadata or {}
        about = json.loads(metadata.get(KEY, b"{}"))
        if not isinstance(about, dict):
            raise ValueError(f"its metadata are {about!r:.80}")
        return about


def read_columns(path):
    """The file's table, its pages compared with their checksums where it has any."""
    with one_error(path):
        # What pandas wrote of itself into the file is not needed, and may be damaged.
        return pq.read_table(path, page_checksum_verification=True).to_pandas(ignore_metadata=True)


@contextmanager
def one_error(path):
    """Whatever pyarrow raises of a file, as one error that names it."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} is no Parquet file, or a damaged one: {reason}. Predict again.") from error


def read(path):
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
    about.pop("official_test_split", None)  # read off the images' names each time
    wanted = [*REQUIRED, *(f"{kind}/{name}" for name in findings for kind in ("logit", "target"))]
    wanted = list(dict.fromkeys([*wanted, *about.pop("columns", ())]))
    if missing := [name for name in wanted if name not in table]:
        raise ValueError(f"{path} has no column {', '.join(missing)}; it has {', '.join(table.columns)}")
    if not findings:
        raise ValueError(f"{path} has no column logit/NAME, so no finding; it has {', '.join(table.columns)}")
    with one_error(path):
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


# Several models


def ensemble(members, names=None):
    """The mean probability of several models on the same images, in the first one's order.

    Args:
        members: Predictions; one alone comes back as it is.
        names: what to call them in an error.

    Raises:
        ValueError: as `matched`.
    """
    first, *others = members
    if not others:
        return first
    names = names or [f"predictions {number}" for number in range(len(members))]
    others = [matched(other, first, name, names[0]) for other, name in zip(others, names[1:], strict=True)]
    logits = mean_logit(np.stack([first.logits, *(other.logits for other in others)], axis=1), axis=1)
    models = [model for member in members for model in member.about.get("models", [])]
    return replace(first, logits=logits, about={**first.about, "models": models})


def matched(other, first, name, first_name):
    """`other` in the order of `first`, by image.

    Raises:
        ValueError: findings differ; an image is in one only; its split or a target differs. The image is named.
    """
    if list(other.findings) != list(first.findings):
        raise ValueError(f"{name} has the findings {other.findings}, {first_name} has {first.findings}")
    path, theirs = first.rows["image_file_path"], other.rows["image_file_path"]
    for here, there, has, lacks in ((path, theirs, first_name, name), (theirs, path, name, first_name)):
        if not (known := here.isin(there)).all():
            raise ValueError(f"{here[~known].iloc[0]} is in {has} but not in {lacks} ({(~known).sum():,} such images)")
    other = other.where(pd.Index(theirs).get_indexer(path))
    if (differ := (other.rows["split"] != first.rows["split"]).to_numpy()).any():
        raise ValueError(f"{path[differ].iloc[0]} is in another split in {name} than in {first_name}")
    differ = (other.targets != first.targets) & ~(np.isnan(other.targets) & np.isnan(first.targets))
    if differ.any():
        row, column = np.argwhere(differ)[0].tolist()
        raise ValueError(f"{path[row]} has another target for {first.findings[column]} in {name} than in {first_name}")
    return other


def mean_logit(logits, axis):
    """The logit of the mean probability, along an axis, computed in logarithms so that nothing rounds to 0 or 1.

    >>> mean_logit(np.array([0.0, 1000.0]), axis=0).round(4)  # probabilities 1/2 and 1: 3/4, odds 3
    np.float64(1.0986)
    """
    logits = np.asarray(logits, dtype=np.float64)
    present, absent = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)  # log p, log (1 - p)
    return np.logaddexp.reduce(present, axis=axis) - np.logaddexp.reduce(absent, axis=axis)


# Studies and patients


def aggregate(predictions, level):
    """Images as studies or patients: the highest logit and the highest target of each, for each finding.

    CheXpert scores a study by the maximum over its views (Irvin et al. 2019, section 4). A unit's sex and view are
    those on which its images agree, otherwise missing; its age is the lowest.

    Raises:
        ValueError: `study` where the predictions have no such column, or a cell of it is empty.
    """
    if level == "image":
        return predictions
    rows = predictions.rows
    keys = ["split", "patient"] + (["study"] if level == "study" else [])
    if missing := [key for key in keys if key not in rows]:
        raise ValueError(f"level {level} needs a column {missing[0]}, which these predictions do not have")
    if (empty := rows[keys].isna().any(axis=1)).any():
        raise ValueError(f"level {level}: {rows['image_file_path'][empty].iloc[0]} has no {keys[-1]}")
    grouped = rows.groupby(keys, sort=False)
    unit = grouped.ngroup().to_numpy()
    order = np.argsort(unit, kind="stable")
    starts = np.searchsorted(unit[order], np.arange(unit.max() + 1))
    merged = grouped.agg({name: _one_of(name) for name in rows if name not in keys}).reset_index()
    return replace(
        predictions,
        rows=merged[list(rows)],
        logits=np.maximum.reduceat(predictions.logits[order], starts),
        targets=np.fmax.reduceat(predictions.targets[order], starts),  # unknown only if unknown in all
    )


def _one_of(column):
    if column == "age":
        return "min"
    return _agreed if column in ("sex", "view") else "first"


def _agreed(values):
    return values.iloc[0] if values.nunique(dropna=False) == 1 else None
