"""All output about a model's scores: predictions, scorecard, report and model card of each dataset."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chestxray.data import predictions
from chestxray.data.predictions import Predictions
from chestxray.data.table_files import MARK, is_prediction_table
from chestxray.files import claim_folder, refuse_closed_folder, remove_unfinished, write
from chestxray.places import public_name
from chestxray.reporting import model_card, plots, score_page, score_readers
from chestxray.reporting.score_options import ScoreOptions
from chestxray.scoring import calibration_file, ensembles, feature_statistics, scorecard
from chestxray.scoring.scorecard import Scorecard

if TYPE_CHECKING:
    from chestxray.data.reading_files import ReadingFile


@dataclass(frozen=True)
class ScoreReport:
    """A scorecard of each dataset, the folder of each one's pages, and the model cards that were written.

    calibration: the checkpoint's calibration.json, None if these are not its own scores.
    """

    cards: list[Scorecard]
    folders: list[Path]
    model_cards: list[Path]
    calibration: Path | None = None


def report_scores(options: ScoreOptions) -> ScoreReport | None:
    """Score one model, or several as an ensemble, on each of the datasets. Write everything to `options.output`.

    Every process of a launch calls this: they predict together, and the first one does the rest.

    Returns:
        What was written, None in every process but the first.

    Raises:
        FileNotFoundError, ValueError: as `score_checkpoints.predict_datasets`, `score_tables.write_predictions`,
            `reading_files.read`, `ensembles.average` and `scorecard.make`.
    """
    # A closed folder and files with faults are refused before hours of predicting
    if not int(os.environ.get("RANK", 0)):
        _claim = claim_folder(options.output)  # until this function ends
        refuse_closed_folder(options.output)
        remove_unfinished(options.output)
    readings = read_given_files(options)
    predicted = predictions_files(options)
    if int(os.environ.get("RANK", 0)):
        return None
    cards = [make_card(files, rival, folder, options, readings) for files, rival, folder in predicted]
    folders = [folder for _, _, folder in predicted]
    for card, folder in zip(cards, folders, strict=True):
        write_pages(card, folder)
    whole = bool(options.checkpoints) and not options.dataset  # all datasets of its training that can be scored
    home = options.output if len(cards) > 1 else folders[0]
    model_cards = [] if has_tables(cards) else model_card.save_card(cards, home, whole)
    checkpoint = None if has_tables(cards) else model_card.own_checkpoint(cards, whole)
    fitted = save_calibration([files for files, _, _ in predicted], checkpoint, options) if checkpoint else None
    return ScoreReport(cards, folders, model_cards, fitted)


def read_given_files(options: ScoreOptions) -> "ReadingFile | None":
    """The radiologists' labels, None without any. Files with faults are refused here, before hours of predicting."""
    readings = None
    if options.labels:
        from chestxray.data import reading_files  # imports `datasets`, which a predictions file does not need

        readings = reading_files.read(options.labels)
    if options.against and is_prediction_table(options.against):
        from chestxray.data import prediction_tables  # this too

        prediction_tables.read(options.against)
    return readings


def save_calibration(predicted: Sequence[Sequence[Path]], checkpoint: Path, options: ScoreOptions) -> Path | None:
    """Write what validation says about new images into the checkpoint's folder. None if there is no validation.

    predicted: the predictions file of each dataset; a checkpoint's own scores are of one model.
    """
    tables = [predictions.read(file) for (file,) in predicted]
    fitted = calibration_file.fit(tables, options.rule, options.sensitivity)
    return calibration_file.save(fitted, checkpoint) if fitted else None


def has_tables(cards: Sequence[Scorecard]) -> bool:
    """Whether a model is known by a table of its predictions alone, so that a card could not say what it is."""
    return any(model.get(MARK) for card in cards for model in card.about.get("models", []))


def predictions_files(options: ScoreOptions) -> Sequence[tuple[list[Path], Path | None, Path]]:
    """(a file of each model, the rival's or None, the folder of the report) for each dataset."""
    if options.checkpoints:
        from chestxray.reporting import score_checkpoints  # imports PyTorch, which predictions files do not need

        return score_checkpoints.predict_datasets(options)
    rival = Path(options.against) if options.against else None
    if options.tables and int(os.environ.get("RANK", 0)):
        return []
    return [(own_files(options), rival, options.output)]


def own_files(options: ScoreOptions) -> list[Path]:
    """The predictions file of each model. Those of tables are written first."""
    if not options.tables:
        return [Path(model) for model in options.models]
    from chestxray.reporting import score_tables  # imports `datasets`, which predictions files do not need

    return score_tables.write_predictions(options)


def make_card(
    files: list[Path], rival: Path | None, folder: Path, options: ScoreOptions, readings: "ReadingFile | None"
) -> Scorecard:
    """The scorecard of one dataset. Several files are an ensemble; its own predictions are written too."""
    members = [predictions.read(file) for file in files]
    table = ensembles.average(members, [str(file) for file in files])
    if len(members) > 1:
        predictions.write(table, folder / "predictions.parquet")
    against = read_rival(rival, table, options.split) if rival else None
    card = scorecard.make(table, options.split, options.level, options.rule, options.sensitivity, against, readings)
    if rival and against and card.comparison and is_prediction_table(rival):
        card.comparison["notes"] = against.about["notes"]
    add_false_alarms(card)
    return card


def add_false_alarms(card: Scorecard) -> None:
    """Say how many of the test images look unlike the training images, if the checkpoint's own test has shown that."""
    folder, (model, *others) = score_page.checkpoint_of([card]), card.scored.about.get("models") or [{}]
    found = feature_statistics.find(folder, model.get("tta", "none")) if folder and not others else None
    name = public_name(str(card.scored.about.get("dataset", "")))
    if found and found.sha256 == model.get("sha256") and card.about["split"] == "test" and name in found.false_alarms:
        share, count = found.false_alarms[name]
        card.unlike = {"share": share, "images": count, "share_asked_for": found.rate}
        card.unlike["validation_images"] = found.n_validation
        limit = f"so that {found.rate:.0%} of {found.n_validation:,} validation images are."
        if found.n_validation * found.rate < 1:
            limit = f"so that none of {found.n_validation:,} validation images is. These are too few for a good limit."
        card.notes.append(
            f"{share:.1%} of {count:,} test images are flagged as unlike the training images. The limit was set {limit}"
        )


def read_rival(rival: Path, ours: Predictions, split: str) -> Predictions:
    """The model to compare with, from a predictions file or a table."""
    if is_prediction_table(rival):
        from chestxray.data import prediction_tables  # imports `datasets`, which predictions files do not need

        return prediction_tables.read_rival(prediction_tables.read(rival), ours, split)
    return predictions.read(rival)


def write_pages(card: Scorecard, folder: Path) -> None:
    """Write report.html, report.md with figures/, and scorecard.json."""
    pictures = plots.draw(card)
    for picture in pictures:
        write(folder / "figures" / f"{picture.name}.svg", picture.svg)
    write(folder / "report.html", score_page.html(card, pictures))
    write(folder / "report.md", score_page.markdown(card, pictures))
    write(folder / "scorecard.json", json.dumps(scorecard.as_json(card), indent=2) + "\n")


def screen_text(report: ScoreReport) -> str:
    """The tables of all datasets and where the pages are, for a terminal."""
    lines = []
    for card, folder in zip(report.cards, report.folders, strict=True):
        if len(report.cards) > 1:
            lines += ["", score_page.dataset_name(card)]
        lines += [score_page.summary(card), score_page.findings_table(card).text()]
        if card.comparison:
            lines += ["", score_page.comparison_note(card), score_page.comparison_table(card).text()]
        if card.readers:
            lines += ["", *score_readers.screen_lines(card.readers, card.about["split"]), ""]
        lines += [
            *filter(None, [*card.notes, score_page.small_subgroups_note(card)]),
            f"Report: {folder / 'report.html'}",
        ]
    none = "none, because the model is not here" if has_tables(report.cards) else "none written, the existing one stays"
    cards = ", ".join(map(str, report.model_cards)) or none
    lines.append(f"Model card: {cards}")
    if report.calibration:
        lines.append(f"Calibration, for predict.py: {report.calibration}")
        statistics = report.calibration.with_name(feature_statistics.NAME)
        lines += [f"What the training images look like, for predict.py: {statistics}"] if statistics.exists() else []
    return "\n".join(lines)
