"""Score a fine-tuned model: AUROC with intervals, thresholds, calibration, subgroups, a report and a model card.

    python recipes/score.py runs/sample                          predict, then score on `test`
    accelerate launch --num_processes 8 recipes/score.py CHECKPOINT --dataset DIR --output-dir OUT
    python recipes/score.py OUT/predictions.parquet              everything again, without the model
    python recipes/score.py A B C --output-dir OUT               an ensemble, by mean probability
    python recipes/score.py A --against B                        and the paired test of two models on A's images

A checkpoint is a folder as finetune.py leaves it, scored on each dataset it was trained on; a predictions file stands
for one anywhere. Thresholds and calibration are fitted on validation alone. The output folder then holds
`predictions.parquet`, `report.html`, `report.md` with `figures/`, `scorecard.json` and the model card `README.md`,
which the checkpoint gets as well if the scores are of its own test. Each of several datasets has a folder of its own
there. All but the predictions tell no path, no image and no patient.
"""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

from chestxray.data import predictions
from chestxray.flags import positive, share
from chestxray.reporting import model_card, plots, score_page
from chestxray.scoring import ensembles, levels, scorecard, transfer
from chestxray.scoring.thresholds import RULES


def main(argv=None):
    settings = parse(argv)
    output = Path(settings.output_dir or default_output(settings.models[0]))

    # Predictions: of each checkpoint, by all processes together; a file's as they are
    if checkpoints := [model for model in settings.models if not is_file(model)]:
        scored = predict_datasets(checkpoints, settings, output)
    else:
        scored = [(settings.models, settings.against, output)]
    if int(os.environ.get("RANK", 0)):  # the rest is work for one process
        return

    # Numbers and pages of each dataset, and the model card of all of them
    cards = [make_card(*files, settings) for files in scored]
    for card, (_, _, folder) in zip(cards, scored, strict=True):
        write_report(card, folder)
    whole = bool(checkpoints) and not settings.dataset  # all that the model was trained on and that can be scored
    written = model_card.save_card(cards, output if len(cards) > 1 else scored[0][2], whole)
    for card, (_, _, folder) in zip(cards, scored, strict=True):
        show(card, folder, len(cards) > 1)
    print(f"Model card: {', '.join(map(str, written)) or 'the one that is there stays'}")


def predict_datasets(checkpoints, settings, output):
    """[(a predictions file of each model, the rival's or None, folder for the report)], one for each dataset."""
    from chestxray.scoring import predicting  # PyTorch, which predictions files do not need

    accelerator = predicting.start()
    home = predicting.settings_of(checkpoints[0], settings, settings.dataset).dataset
    sources = settings.dataset or home
    refuse_mixture(settings, several=len(sources) > 1)
    rivals = [settings.against] if settings.against and not is_file(settings.against) else []
    opened = {}
    for source in sources:
        try:
            opened[source] = predicting.open_to_score(
                accelerator, source, settings.split, checkpoints, settings, rivals
            )
        except predicting.NoSplit as error:
            if settings.dataset or len(sources) == 1:
                raise
            accelerator.print(f"Not scored: {error}")
    if not opened:
        raise ValueError(f"none of the datasets has a split {settings.split}: give another --split")
    # One of several that a model was trained on has its folder among theirs
    names = dict(zip(sources, transfer.names(sources), strict=True))
    apart = len(sources) > 1 or len(home) > 1 and not settings.output_dir
    scored = []
    for source, dataset in opened.items():
        folder = output / names[source] if apart else output
        common = predicting.settings_of(checkpoints[0], settings, [source])
        splits = [name for name in dict.fromkeys(("validation", settings.split)) if name in dataset.splits]
        files = [
            predict(accelerator, model, folder / f"{name}.parquet", dataset, splits, common, settings)
            for model, name in zip(settings.models, file_names(settings.models), strict=True)
        ]
        rival = settings.against and folder / "against.parquet"
        if rival:
            rival = predict(accelerator, settings.against, rival, dataset, [settings.split], common, settings)
        scored.append((files, rival, folder))
    predicting.leave()
    return scored


def refuse_mixture(settings, several):
    """Raise ValueError for models that cannot be scored together, before any of them is.

    several: whether there are several datasets, of which a predictions file cannot be.
    """
    from chestxray.models.classifiers import findings_of

    models = [*settings.models, *filter(None, [settings.against])]
    if several and any(map(is_file, models)):
        raise ValueError("a predictions file is of one dataset: give checkpoints alone, or one --dataset")
    findings = {
        model: predictions.read(Path(model)).findings if is_file(model) else findings_of(model) for model in models
    }
    for model, names in findings.items():
        if names != findings[models[0]]:
            raise ValueError(f"{model} has the findings {names}, {models[0]} has {findings[models[0]]}")


def predict(accelerator, model, path, opened, splits, common, settings):
    """The predictions file of a model: itself, or `path`, written unless it is there.

    common: the settings that say which images and labels all models are scored on.
    """
    if is_file(model):
        return model
    from chestxray.scoring import predicting

    own = predicting.settings_of(model, settings, [opened.source])
    own = replace(own, views=common.views, labeler=common.labeler)
    predicting.predict(accelerator, model, opened, splits, path, own, tta=settings.tta, batch_size=settings.batch_size)
    return path


def file_names(models):
    return [f"predictions-{number}" for number in range(1, len(models) + 1)] if len(models) > 1 else ["predictions"]


def make_card(files, rival, folder, settings):
    """The scorecard of one dataset; several files are an ensemble, whose own predictions are written too."""
    members = [predictions.read(Path(file)) for file in files]
    table = ensembles.average(members, [str(file) for file in files])
    if len(members) > 1:
        predictions.write(table, folder / "predictions.parquet")
    against = predictions.read(Path(rival)) if rival else None
    return scorecard.make(table, settings.split, settings.level, settings.rule, settings.sensitivity, against)


def write_report(card, folder):
    """Write report.html, report.md with figures/, and scorecard.json."""
    pictures = plots.draw(card)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        (folder / "figures" / f"{picture.name}.svg").write_bytes(picture.svg)
    (folder / "report.html").write_text(score_page.html(card, pictures), encoding="utf-8")
    (folder / "report.md").write_text(score_page.markdown(card, pictures), encoding="utf-8")
    (folder / "scorecard.json").write_text(json.dumps(scorecard.as_json(card), indent=2) + "\n", encoding="utf-8")


def show(card, folder, several):
    """Print the table of one dataset, below the dataset's name where there are several."""
    if several:
        print(f"\n{score_page.dataset_name(card)}")
    print(score_page.summary(card))
    print(score_page.findings_table(card).text())
    if card.comparison:
        print("", score_page.comparison_note(card), score_page.comparison_table(card).text(), sep="\n")
    print(*filter(None, [*card.notes, score_page.small_subgroups_note(card)]), sep="\n")
    print(f"Report: {folder / 'report.html'}")


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="checkpoint folder or predictions file; several: ensemble"
    )
    parser.add_argument(
        "--dataset",
        nargs="+",
        action="extend",
        help="as for finetune.py, each with a report of its own; by default those the checkpoint was trained on",
    )
    parser.add_argument(
        "--seen",
        choices=("refuse", "leave-out"),
        default="refuse",
        help="images that a model was trained on, or of such patients: refuse them, or score the others and say so",
    )
    parser.add_argument("--split", default="test", help="what to score (default: test)")
    parser.add_argument("--output-dir", help="by default MODEL/score, or the folder of the predictions file")
    parser.add_argument(
        "--against", metavar="MODEL", help="another checkpoint or predictions file, for the paired test"
    )
    parser.add_argument("--level", choices=levels.LEVELS, default="image", help="what is scored, by its highest image")
    parser.add_argument(
        "--rule", choices=RULES, default="youden", help="threshold of the tables; all are in the report"
    )
    parser.add_argument(
        "--sensitivity", type=share, default=0.9, help="what the rule of that name reaches on validation"
    )
    parser.add_argument("--tta", choices=("none", "flip", "ten-crop"), default="none", help="views averaged per image")
    parser.add_argument("--batch-size", type=positive, default=64, help="images per step, all processes together")
    parser.add_argument(
        "--labeler",
        choices=("chexpert", "negbio", "both", "radiologist"),
        help="of MIMIC-CXR (default: the checkpoint's)",
    )
    parser.add_argument("--views", choices=("all", "frontal"), help="images to score (default: the checkpoint's)")
    parser.add_argument(
        "--equalize",
        action=argparse.BooleanOptionalAction,
        help="equalise histograms (default: as the checkpoint was trained)",
    )
    parser.add_argument("--allow-missing", action="store_true", help="accept an archive that lacks images")
    settings = parser.parse_args(argv)
    if settings.split == "validation":
        parser.error("thresholds and calibration are fitted on validation: score another split")
    if len(settings.models) > 1:
        if not settings.output_dir:
            parser.error("several models need --output-dir, for the ensemble's own predictions")
        if (Path(settings.output_dir) / "predictions.parquet").resolve() in [
            Path(m).resolve() for m in settings.models
        ]:
            parser.error(f"the ensemble would overwrite {settings.output_dir}/predictions.parquet, one of its members")
    return settings


def default_output(model):
    return Path(model).parent if is_file(model) else Path(model) / "score"


def is_file(model):
    return str(model).endswith(".parquet")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        raise SystemExit(f"score.py: {error}") from None
