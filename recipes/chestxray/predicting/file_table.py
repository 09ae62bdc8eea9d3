"""What a model says about a person's files: a table for the screen, and a file of CSV, Parquet or JSON."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from chestxray.files import whole_file, write
from chestxray.predicting.file_chunks import HEATMAPS
from chestxray.predicting.overlays import HIGHEST
from chestxray.reporting.tables import Table, figure
from chestxray.scoring.calibration_file import ModelCalibration
from chestxray.scoring.plain_values import to_plain_values

STEM = "predicted"  # of the file's name
SHOWN = 20  # files of which each has its own lines on the screen
DRAWN = "This model was validated on synthetic images and knows no radiograph: its numbers say nothing about one."
UNLIKE = "This does not look like the images that the model was trained on"
NO_DEVICE = "For research. This is not a medical device, and no diagnosis."


@dataclass(frozen=True)
class FilePredictions:
    """n files, k findings.

    Attributes:
        rows: `path`, and `error`, the reason why a file could not be read, or "". With pictures of the heatmaps also
            HEATMAPS, see `overlays.draw_missing`.
        logits: (n, k) float64, NaN for a file that could not be read.
        model: the checkpoint's name; sha256: of its weights.
        rule: of the thresholds, None without calibration.
        calibration: None where `note` says why there is none.
        synthetic: whether the model was validated on drawn images; None if it is not recorded.
        distances: (n,) to the training images, see `FeatureStatistics`; None where `unlike_note` says why.
    """

    rows: pd.DataFrame
    logits: np.ndarray
    findings: list[str]
    model: str
    sha256: str
    rule: str | None
    calibration: ModelCalibration | None
    note: str = ""
    synthetic: bool | None = None
    distances: np.ndarray | None = None
    unlike_note: str = ""

    @property
    def is_read(self) -> np.ndarray:
        """(n,) whether each file could be read."""
        return (self.rows["error"] == "").to_numpy()

    @property
    def is_unlike(self) -> np.ndarray:
        """(n,) whether each file is beyond the limit."""
        return np.zeros(len(self.rows), bool) if self.distances is None else self.distances > 1

    def values(self) -> dict[str, np.ndarray]:
        """{what: (n, k)}: `prob`, as the model gives it; and if there is a calibration `calibrated`, `call` (1 at its
        threshold or above, 0 below), and `percentile` among the validation images. NaN where something is unknown."""
        found = {"prob": expit(self.logits)}
        if self.calibration and self.rule:
            found["calibrated"] = self.calibration.probabilities(self.logits)
            found["call"] = self.calibration.calls(self.logits, self.rule)
            found["percentile"] = self.calibration.percentiles(self.logits)
        return found


def rows_of(table: pd.DataFrame) -> pd.DataFrame:
    """The `rows` of `FilePredictions`, from the table of `file_chunks.Chunks.read`."""
    return table[[name for name in ("path", "error", HEATMAPS) if name in table]]


# The file


def write_file(found: FilePredictions, folder: Path, form: str) -> Path:
    """Write predicted.csv, .parquet or .json; its path.

    CSV and Parquet have the columns `path`, `error`, `heatmaps` if they are drawn, and `prob_NAME`, `calibrated_NAME`,
    `call_NAME`, `percentile_NAME` for each finding, then `distance` and `unlike_training` (1 beyond the limit).
    score.py reads such a table too.
    """
    path = folder / f"{STEM}.{form}"
    if form == "json":
        write(path, as_json(found))
        return path
    with whole_file(path) as part:
        if form == "csv":
            as_frame(found).to_csv(part, index=False, float_format="%.6g")
        else:
            as_frame(found).to_parquet(part, index=False)
    return path


def as_frame(found: FilePredictions) -> pd.DataFrame:
    """One row for each file, in the columns of `write_file`."""
    columns, values = {}, found.values()
    for number, finding in enumerate(found.findings):
        for what, table in values.items():
            column = pd.Series(table[:, number])
            columns[f"{what}_{finding}"] = column.astype("Int8") if what == "call" else column
    if found.distances is not None:
        distance = columns["distance"] = pd.Series(found.distances)
        columns["unlike_training"] = (distance > 1).astype("Int8").mask(distance.isna())
    return found.rows.join(pd.DataFrame(columns))


def as_json(found: FilePredictions) -> str:
    """{"about": the model and its calibration, "files": [{"path", "error", "findings": {NAME: {what: value}}}]}."""
    model, origin = found.calibration, None
    if model:
        origin = {"datasets": model.datasets, "images": model.n_images, "synthetic": model.synthetic}
    about = {"model": found.model, "sha256": found.sha256, "rule": found.rule, "calibrated_on": origin}
    values, files = found.values(), []
    for row, (path, error) in enumerate(zip(found.rows["path"], found.rows["error"], strict=True)):
        findings = {
            finding: {what: table[row, number] for what, table in values.items()}
            for number, finding in enumerate(found.findings)
        }
        file = {"path": path, "error": error or None, "findings": None if error else findings}
        if found.distances is not None and not error:
            file |= {"distance": found.distances[row], "unlike_training": bool(found.is_unlike[row])}
        if HEATMAPS in found.rows:
            file |= {HEATMAPS: found.rows[HEATMAPS][row]}
        files.append(file)
    return json.dumps(to_plain_values({"about": about, "files": files}), indent=1) + "\n"


# The screen


def screen_text(found: FilePredictions) -> str:
    """One file as a table of its findings, up to SHOWN files with some lines each, more as a summary."""
    n = len(found.rows)
    if n == 1 and found.is_read[0]:
        lines = [found.rows["path"][0], *unlike_lines(found, 0), findings_table(found).text()]
    elif n <= SHOWN:
        lines = [line for row in range(n) for line in file_lines(found, row)]
    else:
        lines = [*summary_lines(found)]
    return "\n".join([*lines, "", *notes(found)])


def findings_table(found: FilePredictions) -> Table:
    """The findings of the one file."""
    values = {what: table[0] for what, table in found.values().items()}
    header = {"prob": "model's own", "calibrated": "calibrated", "call": "call", "percentile": "percentile"}
    rows = [
        [finding, *(cell(what, values[what][number]) for what in values)]
        for number, finding in enumerate(found.findings)
    ]
    return Table(["finding", *(header[what] for what in values)], rows)


def cell(what: str, value: float) -> str:
    if what == "call":
        return {1.0: "yes", 0.0: "no"}.get(value, "–")
    return figure(value, 0 if what == "percentile" else 3)


def file_lines(found: FilePredictions, row: int) -> list[str]:
    """A file's path; below it the findings above their thresholds, or the highest ones, or why it was not read."""
    path, error = found.rows.loc[row, ["path", "error"]]
    if error:
        return [path, f"    not read: {error}"]
    values = {what: table[row] for what, table in found.values().items()}
    if "call" not in values or np.isnan(values["call"]).all():
        chosen = np.argsort(-values["prob"], kind="stable")[:HIGHEST]
        texts = [f"{found.findings[i]} {figure(values['prob'][i])}" for i in chosen]
        return [path, *unlike_lines(found, row), f"    highest: {', '.join(texts)}"]
    texts = [
        f"{found.findings[i]}{calibrated_text(values['calibrated'][i])} (percentile {values['percentile'][i]:.0f})"
        for i in np.flatnonzero(values["call"] == 1)
    ]
    return [path, *unlike_lines(found, row), f"    called: {', '.join(texts) or 'none'}"]


def unlike_lines(found: FilePredictions, row: int) -> list[str]:
    """The warning, where it is due."""
    if found.distances is None or not found.is_unlike[row]:
        return []
    return [f"    {UNLIKE} (distance {found.distances[row]:.2f}, the limit is 1)."]


def calibrated_text(probability: float) -> str:
    """The probability after a name; nothing for a finding that could not be calibrated."""
    return "" if np.isnan(probability) else f" {figure(probability)}"


def summary_lines(found: FilePredictions) -> list[str]:
    """How many files were read and, for each finding, how many are called; then files that were not read."""
    read = found.is_read
    values = {what: table[read] for what, table in found.values().items()}
    medians = {"prob": "median, model's own", "calibrated": "median, calibrated"}
    shown = [what for what in medians if what in values]
    header = ["finding", *(medians[what] for what in shown), *(["files called"] if "call" in values else [])]
    rows = []
    for number, finding in enumerate(found.findings):
        row = [finding, *(figure(median_of(values[what][:, number])) for what in shown)]
        rows.append([*row, count_text(values["call"][:, number])] if "call" in values else row)
    failed = found.rows[~read]
    lines = [f"{int(read.sum()):,} of {len(read):,} files were read.", Table(header, rows).text()]
    lines += named_lines(found.rows["path"][found.is_unlike], UNLIKE, "unlike_training")
    return lines + named_lines("not read: " + failed["path"] + ": " + failed["error"], "", "error")


def named_lines(texts: pd.Series, what: str, column: str) -> list[str]:
    """A line for each of the first SHOWN texts, with `what` behind each, and how many more the column has."""
    lines = [f"{text}: {what}" if what else text for text in texts.head(SHOWN)]
    return [*lines, *([f"and {len(texts) - SHOWN:,} more, named in the column {column}"] if len(texts) > SHOWN else [])]


def median_of(values: np.ndarray) -> float:
    """The median, NaN if there are no values or if one is NaN."""
    return float(np.median(values)) if len(values) else np.nan


def count_text(calls: np.ndarray) -> str:
    """How many files are called; a dash for a finding without threshold."""
    return "–" if np.isnan(calls).all() else f"{int(np.nansum(calls)):,}"


def notes(found: FilePredictions) -> list[str]:
    """Where the numbers come from, one sentence each."""
    last = [*([found.unlike_note] if found.unlike_note else []), *([DRAWN] if found.synthetic else []), NO_DEVICE]
    if not found.calibration:
        return [found.note, *last]
    about = found.calibration
    where = f"{about.n_images:,} validation images of {' and '.join(about.datasets)}"
    rule = f"sensitivity {about.sensitivity:g}" if found.rule == "sensitivity" else found.rule
    lines = [f"Calibration, thresholds (rule: {rule}) and percentiles come from {where}; they may not fit your images."]
    return [*lines, *last]
