"""All numbers about one model's predictions on one split: ranking, calls, probabilities, subgroups and shortcuts."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit

from chestxray.data.official_test import TEST_IMAGES, is_official
from chestxray.data.predictions import Predictions
from chestxray.places import public_about, public_models
from chestxray.scoring import calibration, ensembles, levels, readers, shortcuts, subgroups, thresholds, validation
from chestxray.scoring.plain_values import to_plain_values
from chestxray.scoring.readers import ReaderScores
from multilabel_auroc import auroc_report, compare

if TYPE_CHECKING:
    from chestxray.data.reading_files import ReadingFile

SYNTHETIC = "Synthetic images: these scores say nothing about radiographs."
VALIDATION = "validation"
NO_VALIDATION = (
    "These predictions have no rows of validation. So there are no thresholds, no calibration and no scores of the "
    "metadata alone."
)


@dataclass
class Scorecard:
    """Numbers of one model, or one ensemble, on one split. DataFrames have a row per finding unless said otherwise.

    Attributes:
        about: what the predictions say about themselves, as others may read it (paths are in `scored.about`); and
            `split`, `level`, `rule`, `sensitivity`, `official`, `n_images`, `n_units` (images, studies or patients),
            `n_patients`, `n_validation` (units as well).
        findings: `positives`, `negatives`, `auroc`, `auroc_low`, `auroc_high`, `average_precision`; `sensitivity`,
            `specificity`, `ppv`, `npv` at the threshold; the last row is "mean", over the findings that have both
            classes, with the interval of the mean AUROC.
        rules: index (rule, finding): the threshold as a logit and as a probability, and what it does.
        validation: `positives`, `negatives`: the units of validation that thresholds and calibration rest on.
        calibration: `slope`, `intercept`, `brier_before`, `brier_after`, `ece_before`, `ece_after`, and `ece_chance`,
            the `ece_after` that chance alone would give; last row "mean", over the findings with a slope.
        subgroups, gaps, shortcuts: see the modules of these names; the last row of shortcuts is "mean".
        comparison: what `compare` returns, None without a rival.
        scored: the predictions that were judged, at their level; probabilities: (n, k), calibrated.
        notes: what else a reader must know, one sentence each.
        readers: the images against labels of radiologists, None without such labels.
        unlike: how many test images are flagged as unlike the training images: `share`, `images`, `share_asked_for`,
            `validation_images`; None if that is not known. See `feature_statistics`.

    Without validation rows, or where they are too few (see `validation`), what is fitted on them is NaN.
    """

    about: dict
    findings: pd.DataFrame
    rules: pd.DataFrame
    validation: pd.DataFrame
    calibration: pd.DataFrame
    subgroups: pd.DataFrame
    gaps: pd.DataFrame
    shortcuts: pd.DataFrame
    comparison: dict | None
    scored: Predictions
    probabilities: np.ndarray
    notes: list
    readers: ReaderScores | None = None
    unlike: dict | None = None

    @property
    def has_validation(self) -> bool:
        """Whether the predictions had rows of validation."""
        return bool(self.about["n_validation"])


def make(
    table: Predictions,
    split: str = "test",
    level: str = "image",
    rule: str = "youden",
    sensitivity: float = 0.9,
    rival: Predictions | None = None,
    readings: "ReadingFile | None" = None,
) -> Scorecard:
    """A scorecard of `Predictions`; thresholds and calibration come from their validation rows alone.

    Args:
        table: predictions of `split` and, for thresholds, calibration and `shortcuts`, of validation. Its
            `about["validation_source"]` names the dataset of the validation rows where it is another one.
        split: the split to score.
        level: one of `choices.LEVELS`.
        rule: one of `thresholds.RULES`, the threshold of the tables.
        sensitivity: the sensitivity that the rule "sensitivity" must reach on validation.
        rival: predictions of another model on the same images, for the paired test.
        readings: what radiologists read in the images of `split`. The unit is the image there, at every level.

    Raises:
        ValueError: a split without rows; `split` is validation, or shares a patient with it; `rival` has other
            images, findings or targets; `readings` are of other images.
    """
    validated, images = separate(table, split)
    validated, scored = (levels.aggregate(part, level) if len(part.rows) else part for part in (validated, images))
    counts, fitting = validation.count(validated), validation.keep_enough(validated)
    limits = thresholds.fit(fitting.logits, fitting.targets, sensitivity)
    platt = calibration.fit(fitting.logits, fitting.targets)
    probabilities = calibration.apply(scored.logits, platt)
    parts = subgroups.measure(scored, limits[rule])
    about = {"split": split, "level": level, "rule": rule, "sensitivity": sensitivity}
    about |= count_units(images, scored, fitting, split)
    card = Scorecard(
        about=public_about(table.about) | about,
        findings=findings_table(scored, limits[rule]),
        rules=rules_table(scored, limits),
        validation=counts,
        calibration=calibration_table(scored, platt, probabilities),
        subgroups=parts,
        gaps=subgroups.gaps(parts),
        shortcuts=append_mean(shortcuts.audit(fitting, scored)),
        comparison=compare_with(rival, table, split, level) if rival else None,
        scored=scored,
        probabilities=probabilities,
        notes=[],
        readers=readers.score(images, readings) if readings else None,
    )
    card.notes = notes(card)
    return card


def separate(table: Predictions, split: str) -> tuple[Predictions, Predictions]:
    """The rows of validation and the rows of `split`. A new column `images` counts the patient's images in its split.

    Raises:
        ValueError: as `make`.
    """
    if split == VALIDATION:
        raise ValueError("thresholds and calibration are fitted on validation: judge them on another split")
    counts = table.rows.groupby(["split", "patient"])["patient"].transform("size")
    table = replace(table, rows=table.rows.assign(images=counts))
    validated, images = table.where((table.rows["split"] == VALIDATION).to_numpy()), table.of(split)
    if not other_validation(table.about):  # only within one dataset the same number means the same patient
        refuse_shared_patients(validated, images, split)
    return validated, images


def other_validation(about: dict) -> str | None:
    """The dataset of the validation rows if it is not the scored one, otherwise None."""
    named = about.get("validation_source")
    return None if named in (None, about.get("source"), about.get("dataset")) else named


def refuse_shared_patients(validated: Predictions, images: Predictions, split: str) -> None:
    """Raise ValueError if a patient has images on both sides."""
    shared = images.rows["patient"].isin(validated.rows["patient"])
    if shared.any():
        raise ValueError(
            f"patient {images.rows['patient'][shared].iloc[0]} is in validation and in {split}: thresholds cannot be "
            "judged on the patients that they were fitted on"
        )


def count_units(images: Predictions, scored: Predictions, fitting: Predictions, split: str) -> dict:
    """The numbers of `Scorecard.about`."""
    return {
        "official": split == "test" and is_official(images.rows["image_file_path"]),
        "n_images": len(images.rows),
        "n_units": len(scored.rows),
        "n_patients": int(images.rows["patient"].nunique()),
        "n_validation": len(fitting.rows),
    }


# Tables


def findings_table(scored: Predictions, threshold: np.ndarray) -> pd.DataFrame:
    """How each finding is ranked, and called at its threshold (k,); see `Scorecard.findings`."""
    report = auroc_report(scored.logits, scored.targets, scored.rows["patient"], label_names=scored.findings)
    quantities = ("positives", "negatives", "auroc", "auroc_low", "auroc_high", "average_precision")
    table = pd.DataFrame(
        {key: [report[f"{key}/{name}"] for name in scored.findings] for key in quantities}, index=scored.findings
    )
    called = thresholds.judge(scored.logits, scored.targets, threshold)
    table = append_mean(table.join(called.set_index(table.index)))
    table.loc["mean", list(quantities)] = [report[key] for key in quantities]
    return table


def rules_table(scored: Predictions, limits: dict[str, np.ndarray]) -> pd.DataFrame:
    """What each rule's thresholds do; index (rule, finding), with "mean" after each rule's findings."""
    tables = {}
    for rule, threshold in limits.items():
        table = thresholds.judge(scored.logits, scored.targets, threshold).set_index(pd.Index(scored.findings))
        table.insert(0, "logit", threshold)
        table.insert(1, "probability", expit(threshold))
        tables[rule] = append_mean(table)
    return pd.concat(tables, names=["rule", "finding"])


def calibration_table(scored: Predictions, platt: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """The parameters (k, 2), and the errors before and after them; see `Scorecard.calibration`."""
    table = pd.DataFrame(platt, columns=["slope", "intercept"], index=scored.findings)
    fitted = ~np.isnan(platt[:, :1]).T  # so that "before" and "after" are means over the same findings
    before = np.where(fitted, expit(scored.logits), np.nan)
    for name, measure in (("brier", calibration.brier), ("ece", calibration.calibration_error)):
        for when, values in (("before", before), ("after", probabilities)):
            table[f"{name}_{when}"] = measure(values, scored.targets)
    table["ece_chance"] = calibration.chance_error(probabilities, scored.targets)
    return append_mean(table)


def compare_with(rival: Predictions, table: Predictions, split: str, level: str) -> dict:
    """The paired test. A is the model of the scorecard; see `multilabel_auroc.compare`."""
    ours = levels.aggregate(table.of(split), level)
    theirs = ensembles.match_rows(rival.of(split), table.of(split), "the predictions to compare with", "ours")
    theirs = levels.aggregate(theirs, level)
    result = compare(ours.logits, theirs.logits, ours.targets, ours.rows["patient"], label_names=ours.findings)
    return {**result, "models": public_models(rival.about.get("models", []))}


def append_mean(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a last row "mean", over what is defined in each column."""
    return pd.concat([table, pd.DataFrame([table.mean()], index=["mean"])])


# Words


def notes(card: Scorecard) -> list[str]:
    """The sentences of `Scorecard.notes`."""
    about, unlabelled = card.about, unlabelled_findings(card.scored)
    undefined = [name for name in card.findings.index[card.findings["auroc"].isna()] if name not in unlabelled]
    found = [SYNTHETIC] if about.get("synthetic") else []
    found += about.get("notes") or []
    if about["split"] == "test" and about["official"] is False and not about.get("synthetic"):
        found.append(
            f"These {about['n_images']:,} images are not the {TEST_IMAGES:,} of NIH's official test list: "
            "do not compare with scores published on it."
        )
    if unlabelled:
        found.append(f"This dataset does not label {', '.join(unlabelled)}. No mean includes a finding without labels.")
    if undefined:
        found.append(
            f"{', '.join(undefined)}: AUROC is undefined and in no mean, because {about['split']} has only positives "
            "or only negatives."
        )
    return found + notes_on_validation(card, unlabelled)


def notes_on_validation(card: Scorecard, unlabelled: list[str]) -> list[str]:
    """Where thresholds and calibration come from, and for which findings there are none."""
    if not card.about["n_validation"]:
        return [NO_VALIDATION]
    other, found = other_validation(card.about), []
    if other:
        found.append(f"Thresholds and calibration come from validation of {other}, not of the scored dataset.")
    labelled = ~card.validation.index.isin(unlabelled)
    platt = card.calibration.loc[card.validation.index, ["slope", "intercept"]].to_numpy()
    return found + validation.notes(card.validation[labelled], platt[labelled])


def unlabelled_findings(table: Predictions) -> list[str]:
    """The findings that no row has a target for."""
    return [name for name, targets in zip(table.findings, table.targets.T, strict=True) if np.isnan(targets).all()]


def as_json(card: Scorecard) -> dict:
    """A dict of plain Python values; what is undefined is None, because JSON has no NaN."""
    return to_plain_values(
        {
            "about": card.about,
            "findings": card.findings.to_dict("index"),
            "thresholds": {rule: part.droplevel(0).to_dict("index") for rule, part in card.rules.groupby(level=0)},
            "validation": card.validation.to_dict("index"),
            "calibration": card.calibration.to_dict("index"),
            "subgroups": card.subgroups.to_dict("records"),
            "gaps": card.gaps.to_dict("records"),
            "shortcuts": card.shortcuts.to_dict("index"),
            "comparison": card.comparison,
            "notes": card.notes,
            "readers": readers.as_dict(card.readers) if card.readers else None,
            "unlike_training": card.unlike,
        }
    )
