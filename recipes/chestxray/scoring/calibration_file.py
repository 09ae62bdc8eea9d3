"""calibration.json: what a checkpoint's validation says about a new image's logit. It may be passed on.

The file lies beside the weights and holds, for each finding, the two coefficients of Platt scaling, the threshold of
each rule, and 101 quantiles of the logits of all validation images. It names no image and no patient, and no number in
it belongs to a known image. The SHA-256 of the weights says which model it is of.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chestxray.files import write
from chestxray.places import public_name
from chestxray.scoring import calibration, thresholds
from chestxray.scoring.plain_values import to_plain_values
from chestxray.scoring.test_time_views import VIEWS

if TYPE_CHECKING:
    from chestxray.data.predictions import Predictions

NAME = "calibration.json"
PERCENTS = np.linspace(0, 100, 101)
DECIMALS = 4  # of a quantile: a percentile needs no more


@dataclass(frozen=True)
class ModelCalibration:
    """k findings. What validation cannot tell is NaN, see `validation`.

    Attributes:
        sha256: of the weights, see `weights.digest_weights`.
        tta: the views that were averaged; datasets: whose validation it is; n_images: how many images that is.
        rule: the threshold rule that score.py was asked for; sensitivity: of the rule "sensitivity".
        platt: (k, 2), see `calibration.fit`; limits: {rule: (k,)}, see `thresholds.fit`.
        quantiles: (k, 101), the logits below which 0, 1, ... 100 percent of the validation images are.
    """

    findings: list[str]
    sha256: str
    tta: str
    datasets: list[str]
    synthetic: bool
    n_images: int
    rule: str
    sensitivity: float
    platt: np.ndarray
    limits: dict[str, np.ndarray]
    quantiles: np.ndarray

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, (n, k); NaN for a finding without calibration."""
        return calibration.apply(logits, self.platt)

    def calls(self, logits: np.ndarray, rule: str) -> np.ndarray:
        """1 where a logit is at its threshold or above, 0 below, NaN for a finding without threshold: (n, k)."""
        limits = self.limits[rule]
        return np.where(np.isnan(limits) | np.isnan(logits), np.nan, logits >= limits)

    def percentiles(self, logits: np.ndarray) -> np.ndarray:
        """How many of 100 validation images have a lower logit, (n, k), between the quantiles by a straight line."""
        return np.stack([percentiles_among(*pair) for pair in zip(logits.T, self.quantiles, strict=True)], axis=1)


def percentiles_among(logits: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """One finding's percentiles, (n,), NaN for NaN. Of several quantiles with one value, their middle counts.

    >>> percentiles_among(np.array([-1.0, 2.5, 7.0, 900.0]), np.r_[np.zeros(51), np.arange(1, 51)])
    array([ 25. ,  52.5,  57. , 100. ])
    """
    values, place = np.unique(quantiles, return_inverse=True)
    middles = np.bincount(place, PERCENTS) / np.bincount(place)
    return np.interp(logits, values, middles)


def fit(tables: "Sequence[Predictions]", rule: str, sensitivity: float) -> ModelCalibration | None:
    """The calibration of the one model that made all these predictions, from the validation rows of all of them.

    Args:
        tables: predictions of one dataset each. sensitivity: of the rule "sensitivity", see `thresholds.fit`.

    Returns:
        None if there are no rows of validation.
    """
    from chestxray.data.predictions import Predictions  # these three take a second, which `read` does not need
    from chestxray.scoring import validation
    from chestxray.scoring.scorecard import VALIDATION

    parts = [table.of(VALIDATION) for table in tables if (table.rows["split"] == VALIDATION).any()]
    if not parts:
        return None
    model = parts[0].about["models"][0]
    logits, targets = (np.concatenate([getattr(part, name) for part in parts]) for name in ("logits", "targets"))
    enough = validation.keep_enough(Predictions(parts[0].rows, logits, targets, parts[0].findings))
    return ModelCalibration(
        findings=list(parts[0].findings),
        sha256=model["sha256"],
        tta=model.get("tta", "none"),
        datasets=[public_name(str(part.about.get("dataset", "unknown"))) for part in parts],
        synthetic=any(bool(part.about.get("synthetic")) for part in parts),
        n_images=len(logits),
        rule=rule,
        sensitivity=sensitivity,
        platt=calibration.fit(enough.logits, enough.targets),
        limits=thresholds.fit(enough.logits, enough.targets, sensitivity),
        quantiles=np.quantile(logits, PERCENTS / 100, axis=0).T.round(DECIMALS),
    )


# The file


def save(model: ModelCalibration, folder: Path) -> Path:
    """Write calibration.json into a checkpoint's folder; its path."""
    write(folder / NAME, as_text(model))
    return folder / NAME


def as_text(model: ModelCalibration) -> str:
    """The file's content."""
    findings = {
        name: {
            "slope": model.platt[number, 0],
            "intercept": model.platt[number, 1],
            "thresholds": {rule: limits[number] for rule, limits in model.limits.items()},
            "quantiles": model.quantiles[number].tolist(),
        }
        for number, name in enumerate(model.findings)
    }
    names = ("sha256", "tta", "datasets", "synthetic", "n_images", "rule", "sensitivity")
    about = {name: getattr(model, name) for name in names}
    lines = [f"  {json.dumps(name)}: {json.dumps(to_plain_values(finding))}" for name, finding in findings.items()]
    head = json.dumps(to_plain_values(about), indent=1)
    return f'{{"about": {head},\n"findings": {{\n' + ",\n".join(lines) + "\n}}\n"


def read(path: Path) -> ModelCalibration:
    """A file as `save` leaves it. What else is in it is left out.

    Raises:
        FileNotFoundError: there is none. ValueError: it is damaged, or no such file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return model_of(content["about"], content["findings"])
    except FileNotFoundError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OSError, OverflowError, RecursionError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{path} is damaged ({reason}): delete it and run score.py again") from error


def model_of(about: dict, findings: dict) -> ModelCalibration:
    """The two parts of the file as values. Raises ValueError, KeyError, TypeError or AttributeError for others."""
    rows = list(findings.values())
    for name, known in (("rule", thresholds.RULES), ("tta", VIEWS)):
        if about[name] not in known:
            raise ValueError(f"its {name} is {about[name]!r:.40}")
    return ModelCalibration(
        findings=list(findings),
        sha256=text_of(about["sha256"]),
        tta=about["tta"],
        datasets=[public_name(text_of(name)) for name in about["datasets"]],
        synthetic=bool(about["synthetic"]),
        n_images=int(about["n_images"]),
        rule=about["rule"],
        sensitivity=float(about["sensitivity"]),
        platt=numbers([[row["slope"], row["intercept"]] for row in rows], 2),
        limits={rule: numbers([[row["thresholds"][rule]] for row in rows], 1)[:, 0] for rule in thresholds.RULES},
        quantiles=numbers([row["quantiles"] for row in rows], len(PERCENTS)),
    )


def text_of(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def numbers(rows, width):
    """(k, width) float64, NaN for None. Raises ValueError if a row has another width."""
    table = np.array([[np.nan if cell is None else float(cell) for cell in row] for row in rows], np.float64)
    if table.ndim != 2 or table.shape[1] != width or np.isinf(table).any():
        raise ValueError(f"{width} numbers are expected for each finding")
    return table
