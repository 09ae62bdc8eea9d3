"""Score models of some hospitals at others: every checkpoint on every dataset, over the findings all of them know.

    python recipes/transfer.py runs/nih runs/chexpert --dataset NIH --dataset CHEXPERT --dataset MIMIC --output-dir OUT
    accelerate launch --num_processes 8 recipes/transfer.py CHECKPOINT --dataset D1 --dataset D2 --output-dir OUT

A checkpoint is a folder as finetune.py leaves it, a dataset whatever finetune.py takes. All models are scored on the
same images against the same labels. OUT then holds `transfer.md` and `transfer.png` to look at, `transfer.json` to
compute with, and the predictions of each pair, which a second run finds there and score.py takes as well.
"""

import argparse
import json
import os
from pathlib import Path

from chestxray.data import labels, mimic
from chestxray.files import write
from chestxray.flags import positive
from chestxray.models.classifiers import findings_of
from chestxray.scoring import predicting, transfer
from chestxray.training.settings import read_settings


def main(argv=None):
    settings = parse(argv)
    output = Path(settings.output_dir)

    # Who is scored on what, over which findings: settled before anything is predicted, which can take hours
    models = [
        model_of(name, checkpoint, settings)
        for name, checkpoint in zip(transfer.names(settings.models), settings.models, strict=True)
    ]
    views, labeler = agreed("views", models), agreed("labeler", models)
    targets = [
        transfer.Target(name, source, labeler if mimic.is_mimic(source) else None)
        for name, source in zip(transfer.names(settings.dataset), settings.dataset, strict=True)
    ]
    accelerator = predicting.start()
    opened = {
        target.name: predicting.open_to_score(
            accelerator, target.source, settings.split, [model.checkpoint for model in models], settings
        )
        for target in targets
    }
    known = {f"the model {model.name}": findings_of(model.checkpoint) for model in models}
    known |= {f"the dataset {name}": labels.own(dataset.splits[settings.split]) for name, dataset in opened.items()}
    findings = transfer.shared(known)

    # Predictions: of each pair, by all processes together
    files = {}
    for model in models:
        for target in targets:
            files[model.name, target.name] = path = output / file_name(model, target)
            splits = [
                name for name in dict.fromkeys(("validation", settings.split)) if name in opened[target.name].splits
            ]
            predicting.predict(
                accelerator,
                model.checkpoint,
                opened[target.name],
                splits,
                path,
                model.settings,
                batch_size=settings.batch_size,
            )
    predicting.leave()
    if int(os.environ.get("RANK", 0)):  # the rest is work for one process
        return

    # Numbers and pages
    result = transfer.make(models, targets, files, findings, settings.split, views)
    page, numbers = transfer.page(result), json.dumps(transfer.as_json(result), indent=2) + "\n"
    for name, content in (("md", page.encode()), ("png", transfer.draw(result)), ("json", numbers.encode())):
        write(output / f"transfer.{name}", content)
    print(f"Tables, picture and numbers: {output}/transfer.md, .png and .json; the predictions are beside them.")
    print(*transfer.warnings(result), transfer.how_averaged(result), transfer.how_pictured(result), sep="\n")
    print(transfer.means(result).text())


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="CHECKPOINT", help="folder as finetune.py leaves it")
    parser.add_argument("--dataset", action="extend", nargs="+", required=True, help="as for finetune.py; several")
    parser.add_argument("--output-dir", required=True, help="where tables, picture and predictions go")
    parser.add_argument("--split", default="test", help="what to score, of every dataset (default: test)")
    parser.add_argument(
        "--views", choices=("all", "frontal"), help="images to score (default: those that the models were trained on)"
    )
    parser.add_argument(
        "--labeler",
        choices=("chexpert", "negbio", "both", "radiologist"),
        help="of MIMIC-CXR (default: that of the models)",
    )
    parser.add_argument(
        "--equalize",
        action=argparse.BooleanOptionalAction,
        help="equalise every image's histogram, or leave it as it comes (default: as each model was trained)",
    )
    parser.add_argument("--batch-size", type=positive, default=64, help="images per step, all processes together")
    parser.add_argument(
        "--seen",
        choices=("refuse", "leave-out"),
        default="refuse",
        help="images that a model was trained on, or of such patients: refuse them, or score the others and say so",
    )
    parser.add_argument("--allow-missing", action="store_true", help="accept archives that lack images")
    return parser.parse_args(argv)


def model_of(name, checkpoint, settings):
    """A row of the table, with what predicting it takes: its own settings and what this command's flags say instead."""
    used = predicting.settings_of(checkpoint, settings, settings.dataset)
    saved = Path(checkpoint) / "settings.yaml"
    trained = read_settings(saved) if saved.exists() else None
    used.allow_missing = settings.allow_missing  # which was said of the datasets it was trained on
    home, equalized = (trained.dataset, trained.equalize) if trained else ([], None)
    return transfer.Model(name, checkpoint, home, equalized, used)


def agreed(name, models):
    """The setting that all models have, for all are scored on the same images and labels.

    Raises ValueError where they differ, which they cannot where the command line has said it.
    """
    values = {model.name: getattr(model.settings, name) for model in models}
    if len(set(values.values())) > 1:
        differ = ", ".join(f"{value} for {model}" for model, value in values.items())
        raise ValueError(f"the models were trained with different {name}: {differ}. Give --{name}")
    return values[models[0].name]


def file_name(model, target):
    """Says who, on what and shown how, so that another choice of images or labels is another file."""
    choices = [
        "frontal" if model.settings.views == "frontal" else "",
        target.labeler if target.labeler not in (None, "chexpert") else "",
        "equalized" if model.settings.equalize else "",
    ]
    return "-".join(filter(None, [model.name, "on", target.name, *choices])) + ".parquet"


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        raise SystemExit(f"transfer.py: {error}") from None
