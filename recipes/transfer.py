"""Score models of some hospitals at others: every checkpoint on every dataset, over the findings all of them know.

    python recipes/transfer.py runs/nih runs/chexpert --dataset NIH --dataset CHEXPERT --dataset MIMIC --output-dir OUT
    accelerate launch --num_processes 8 recipes/transfer.py CHECKPOINT --dataset D1 --dataset D2 --output-dir OUT

A checkpoint is a folder as finetune.py leaves it. A dataset is anything that finetune.py takes. All models are scored
on the same images against the same labels. OUT then holds `transfer.md` and `transfer.png` to look at, `transfer.json`
to compute with, and the predictions of each pair. A second run uses these predictions again, and score.py reads them.
"""

from dataclasses import dataclass

from chestxray.flags import Parser
from chestxray.machine import sleep_while_waiting
from chestxray.scoring import prediction_options
from chestxray.scoring.prediction_options import PredictionOptions
from chestxray.stopping import errors_in_one_line, stop_in_one_line
from chestxray.training.checkpoint_folders import answer_wrong_folders


@dataclass(frozen=True, kw_only=True)
class TransferOptions(PredictionOptions):
    models: list[str]
    dataset: list[str]
    output_dir: str


def parse(argv):
    parser = Parser(__doc__)
    add, many = parser.add_argument, {"nargs": "+", "action": "extend"}
    add("models", nargs="+", metavar="CHECKPOINT", help="folder as finetune.py leaves it")
    add("--dataset", **many, required=True, help="as for finetune.py; at least one")
    add("--output-dir", required=True, help="where tables, picture and predictions go")
    prediction_options.add_flags(parser)
    return TransferOptions(**vars(parser.parse_args(argv)))


if __name__ == "__main__":
    stop_in_one_line("transfer.py")
    answer_wrong_folders("transfer.py", parse(None).models)  # before the imports below, which take seconds
    sleep_while_waiting()

import json
import os
from itertools import product
from pathlib import Path

from chestxray.data import labels, registry
from chestxray.files import write
from chestxray.models.classifiers import findings_of
from chestxray.places import folder_names
from chestxray.reporting import transfer_page
from chestxray.reporting.predictor import Predictor
from chestxray.scoring import dataset_predictions, transfer
from chestxray.training.prediction_settings import settings_of_training


def main(argv=None):
    options = parse(argv)
    output, predictor = Path(options.output_dir), Predictor(options)

    # Models, datasets and findings. They are checked first, because predicting can take hours
    names = folder_names(options.models)
    models = [model_of(*pair, predictor) for pair in zip(names, options.models, strict=True)]
    views, labeler = transfer.common_choice("views", models), transfer.common_choice("labeler", models)
    targets = [
        transfer.Target(name, source, labeler if registry.recognise(source).labelers else None)
        for name, source in zip(folder_names(options.dataset), options.dataset, strict=True)
    ]
    opened = {target.name: predictor.open(target.source, options.models) for target in targets}
    known = {f"the model {model.name}": findings_of(model.checkpoint) for model in models}
    known |= {
        f"the dataset {name}": labels.labelled_names(dataset.splits[options.split]) for name, dataset in opened.items()
    }
    findings = transfer.shared_findings(known)

    # Predictions: of each pair, by all processes together
    files = {(m.name, t.name): output / transfer.predictions_file(m, t) for m in models for t in targets}
    for model, target in product(models, targets):
        settings = predictor.settings_of(model.checkpoint)
        predictor.predict(model.checkpoint, opened[target.name], files[model.name, target.name], settings)
    dataset_predictions.stop()
    if int(os.environ.get("RANK", 0)):  # the rest is work for one process
        return

    # Numbers and pages
    result = transfer.score_transfer(models, targets, files, findings, options.split, views)
    write(output / "transfer.md", transfer_page.markdown(result))
    write(output / "transfer.png", transfer_page.draw(result))
    write(output / "transfer.json", json.dumps(transfer.as_json(result), indent=2) + "\n")
    print(f"Tables, picture and numbers: {output}/transfer.md, .png and .json; the predictions are beside them.")
    print(transfer_page.screen_text(result))


def model_of(name, checkpoint, predictor):
    """A row of the table: what the checkpoint was trained on, and how it is shown the images now."""
    trained, settings = settings_of_training(checkpoint), predictor.settings_of(checkpoint)
    return transfer.Model(
        name,
        checkpoint,
        trained_on=trained.dataset if trained else [],
        trained_equalized=trained.equalize if trained else None,
        views=settings.views,
        labeler=settings.labeler,
        equalized=settings.equalize,
    )


if __name__ == "__main__":
    with errors_in_one_line("transfer.py"):
        main()
