"""All output about a model's scores: predictions, scorecard, report and model card of each dataset."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chestxray.data import predictions
from chestxray.files import write
from chestxray.reporting import model_card, plots, score_page
from chestxray.reporting.score_options import ScoreOptions
from chestxray.scoring import ensembles, scorecard
from chestxray.scoring.scorecard import Scorecard


@dataclass(frozen=True)
class ScoreReport:
    """A scorecard of each dataset, the folder of each one's pages, and the model cards that were written."""

    cards: list[Scorecard]
    folders: list[Path]
    model_cards: list[Path]


def report_scores(options: ScoreOptions) -> ScoreReport | None:
    """Score one model, or several as an ensemble, on each of the datasets. Write everything to `options.output`.

    Every process of a launch calls this: they predict together, and the first one does the rest.

    Returns:
        What was written, None in every process but the first.

    Raises:
        FileNotFoundError, ValueError: as `score_checkpoints.predict_datasets`, `ensembles.average` and
            `scorecard.make`.
    """
    predicted = predictions_files(options)
    if int(os.environ.get("RANK", 0)):
        return None
    cards = [make_card(files, rival, folder, options) for files, rival, folder in predicted]
    folders = [folder for _, _, folder in predicted]
    for card, folder in zip(cards, folders, strict=True):
        write_pages(card, folder)
    whole = bool(options.checkpoints) and not options.dataset  # all datasets of its training that can be scored
    model_cards = model_card.save_card(cards, options.output if len(cards) > 1 else folders[0], whole)
    return ScoreReport(cards, folders, model_cards)


def predictions_files(options: ScoreOptions) -> Sequence[tuple[list[Path], Path | None, Path]]:
    """(a file of each model, the rival's or None, the folder of the report) for each dataset."""
    if options.checkpoints:
        from chestxray.reporting import score_checkpoints  # imports PyTorch, which predictions files do not need

        return score_checkpoints.predict_datasets(options)
    rival = Path(options.against) if options.against else None
    return [([Path(model) for model in options.models], rival, options.output)]


def make_card(files: list[Path], rival: Path | None, folder: Path, options: ScoreOptions) -> Scorecard:
    """The scorecard of one dataset. Several files are an ensemble; its own predictions are written too."""
    members = [predictions.read(file) for file in files]
    table = ensembles.average(members, [str(file) for file in files])
    if len(members) > 1:
        predictions.write(table, folder / "predictions.parquet")
    against = predictions.read(rival) if rival else None
    return scorecard.make(table, options.split, options.level, options.rule, options.sensitivity, against)


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
        lines += [
            *filter(None, [*card.notes, score_page.small_subgroups_note(card)]),
            f"Report: {folder / 'report.html'}",
        ]
    cards = ", ".join(map(str, report.model_cards)) or "none written, the existing one stays"
    return "\n".join([*lines, f"Model card: {cards}"])
