"""Score a fine-tuned model: AUROC with intervals, thresholds, calibration, subgroups, a report and a model card.

    python recipes/score.py runs/sample                          predict, then score on `test`
    accelerate launch --num_processes 8 recipes/score.py CHECKPOINT --dataset DIR --output-dir OUT
    python recipes/score.py OUT/predictions.parquet              everything again, without the model
    python recipes/score.py A B C --output-dir OUT               an ensemble, by mean probability
    python recipes/score.py A --against B                        and the paired test of two models

A checkpoint is a folder as finetune.py leaves it; a predictions file stands for one anywhere. Thresholds and
calibration are fitted on validation alone. The output folder then holds `predictions.parquet`, `report.html`,
`report.md` with `figures/`, `scorecard.json` and the model card `README.md`, which the checkpoint gets as well if the
scores are of its own test. All but the predictions tell no path, no image and no patient.
"""

import argparse
import json
import os
from dataclasses import fields
from pathlib import Path

import yaml

from chestxray.scoring import model_card, pages, plots, predictions, scorecard, wording
from chestxray.scoring.thresholds import RULES


def main(argv=None):
    settings = parse(argv)
    output = Path(settings.output_dir or default_output(settings.models[0]))

    # Predictions: of each checkpoint, by all processes together; a file's as they are
    names = [f"predictions-{number}" for number in range(1, len(settings.models) + 1)]
    files = [
        predicted(model, output / f"{name if len(names) > 1 else 'predictions'}.parquet", settings)
        for model, name in zip(settings.models, names, strict=True)
    ]
    rival = predicted(settings.against, output / "against.parquet", settings) if settings.against else None
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        from chestxray.scoring import predicting

        predicting.leave()
    if int(os.environ.get("RANK", 0)):  # the rest is work for one process
        return
    members = [predictions.read(file) for file in files]
    table = predictions.ensemble(members, [str(file) for file in files])
    if len(members) > 1:
        predictions.write(table, output / "predictions.parquet")

    # Numbers
    card = scorecard.make(
        table,
        settings.split,
        settings.level,
        settings.rule,
        settings.sensitivity,
        predictions.read(rival) if rival else None,
    )

    # Pages
    pictures = plots.draw(card)
    blocks = wording.blocks(card, pictures)
    (output / "figures").mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        (output / "figures" / f"{picture.name}.svg").write_bytes(picture.svg)
    (output / "report.html").write_text(pages.html(blocks, wording.title(card)), encoding="utf-8")
    (output / "report.md").write_text(pages.markdown(blocks), encoding="utf-8")
    (output / "scorecard.json").write_text(json.dumps(scorecard.as_json(card), indent=2) + "\n", encoding="utf-8")
    written = model_card.save([card], output)

    print(wording.summary(card))
    print(wording.findings(card).text())
    if card.comparison:
        print("", wording.how_compared(card), wording.comparison(card).text(), sep="\n")
    print(*card.notes, *wording.few_in_short(card), sep="\n")
    print(f"Report: {output / 'report.html'}; model card: {', '.join(map(str, written))}")


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="checkpoint folder or predictions file; several: ensemble"
    )
    parser.add_argument("--dataset", help="as for finetune.py; by default the one the checkpoint was trained on")
    parser.add_argument("--split", default="test", help="what to score (default: test)")
    parser.add_argument("--output-dir", help="by default MODEL/score, or the folder of the predictions file")
    parser.add_argument(
        "--against", metavar="MODEL", help="another checkpoint or predictions file, for the paired test"
    )
    parser.add_argument(
        "--level", choices=predictions.LEVELS, default="image", help="what is scored, by its highest image"
    )
    parser.add_argument(
        "--rule", choices=RULES, default="youden", help="threshold of the tables; all are in the report"
    )
    parser.add_argument(
        "--sensitivity", type=float, default=0.9, help="what the rule of that name reaches on validation"
    )
    parser.add_argument("--tta", choices=("none", "flip", "ten-crop"), default="none", help="views averaged per image")
    parser.add_argument("--batch-size", type=int, default=64, help="images per step, all processes together")
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
    if len(settings.models) > 1:
        if not settings.output_dir:
            parser.error("several models need --output-dir, for the ensemble's own predictions")
        if (Path(settings.output_dir) / "predictions.parquet").resolve() in [
            Path(m).resolve() for m in settings.models
        ]:
            parser.error(f"the ensemble would overwrite {settings.output_dir}/predictions.parquet, one of its members")
    return settings


def default_output(model):
    return Path(model).parent if model.endswith(".parquet") else Path(model) / "score"


def predicted(model, path, settings):
    """The predictions file of a model: itself, or `path`, made from the checkpoint where it is not there yet."""
    model = Path(model)
    if model.suffix == ".parquet":
        return model
    if not (model / "config.json").exists():
        raise FileNotFoundError(f"{model} is neither a checkpoint's folder (it has no config.json) nor a .parquet file")
    from chestxray.scoring import predicting  # PyTorch, which a predictions file does not need

    trained = trained_on(model, settings)
    predicting.predict(
        *(model, settings.dataset or trained.dataset[0], settings.split, path, trained),
        *(settings.tta, settings.batch_size),
    )
    return path


def trained_on(checkpoint, settings):
    """The settings of its fine-tune, for dataset and pixels, with what this command's flags say instead."""
    from chestxray.settings import Settings

    saved = checkpoint / "settings.yaml"
    if not saved.exists() and not settings.dataset:
        raise ValueError(f"{checkpoint} has no settings.yaml that names its dataset: give --dataset")
    known = {field.name for field in fields(Settings)}
    values = yaml.safe_load(saved.read_text()) if saved.exists() else {}
    trained = Settings(**{name: value for name, value in values.items() if name in known})
    trained.uncertain, trained.teacher = "ignore", None  # which are for training
    trained.allow_missing |= settings.allow_missing
    trained.labeler = settings.labeler or trained.labeler
    trained.views = settings.views or trained.views
    trained.equalize = trained.equalize if settings.equalize is None else settings.equalize
    return trained


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        raise SystemExit(f"score.py: {error}") from None
