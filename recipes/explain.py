"""Show where a model looks: heatmaps, and how well they find the boxes of a dataset.

    python recipes/explain.py runs/sample                             the images of `test` that have boxes
    accelerate launch --num_processes 2 recipes/explain.py CHECKPOINT --dataset DIR --output-dir OUT
    python recipes/explain.py A --against B                           paired: two models on the same boxes
    python recipes/explain.py A --against-method grad-cam             paired: two methods of one model
    python recipes/explain.py A --randomise                           and a row of the same model with random weights
    python recipes/explain.py A --image-size 320 --tta flip           a finer map, averaged with the mirror image's
    python recipes/explain.py A --images LIST                         heatmaps of any images

A checkpoint is a folder as finetune.py leaves it. The output folder then holds `heatmaps.parquet`; if there are boxes,
also `localisation.html`, `localisation.md`, `localisation.json`, `coco_boxes.json`, `coco_detections.json` and
`contact_sheet.png`. After a stop, start the same command again: it goes on where it was. Heatmaps, COCO files and
contact sheet show or name images and patients, so nothing uploads them.
"""

from chestxray.flags import Parser, positive
from chestxray.machine import sleep_while_waiting
from chestxray.models.heatmap_methods import METHODS
from chestxray.reporting.explain_options import ExplainOptions
from chestxray.scoring import prediction_options
from chestxray.scoring.map_options import VIEWS
from chestxray.stopping import errors_in_one_line, stop_in_one_line
from chestxray.training.checkpoint_folders import answer_wrong_folders


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="folder as finetune.py leaves it")
    add("--dataset", help="as for finetune.py (default: the model's dataset)")
    add("--method", choices=METHODS, help="default: by the architecture; integrated-gradients is the finest")
    add("--images", metavar="LIST", help="a file that names the images, one a line (default: all that have boxes)")
    add("--output-dir", help="default: CHECKPOINT/explain")
    add("--against", metavar="CHECKPOINT", help="another model, for the paired difference on the same boxes")
    add("--against-method", choices=METHODS, help="another method, for the paired difference on the same boxes")
    add("--image-size", type=positive, help="pixels, for finer maps; probabilities are of the training's size")
    add("--tta", choices=VIEWS, default="none", help="flip: the mean of the map and the mirror image's map")
    add("--relative", action="store_true", help="minus the mean map of validation images")
    add("--randomise", action="store_true", help="a row of the same model with random weights (Adebayo et al. 2018)")
    prediction_options.add_flags(parser)
    try:
        return ExplainOptions(**vars(parser.parse_args(argv)))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    stop_in_one_line("explain.py")
    answer_wrong_folders("explain.py", parse(None).checkpoints)  # before the imports below, which take seconds
    sleep_while_waiting()

import json
import os
from pathlib import Path

from chestxray.data import predictions
from chestxray.files import claim_folder, refuse_closed_folder, remove_unfinished, write
from chestxray.models.classifiers import findings_of
from chestxray.reporting import card_localisation, contact_sheet, localisation_page
from chestxray.reporting.predictor import Predictor
from chestxray.scoring import dataset_predictions
from chestxray.scoring.boxed_heatmaps import coco_files, read_boxed_heatmaps
from chestxray.scoring.boxes_to_find import choose_boxes
from chestxray.scoring.localisation_result import MODEL, as_json, localise_model
from chestxray.scoring.mapping import Job, map_images


def main(argv=None):
    options = parse(argv)
    if not int(os.environ.get("RANK", 0)):
        _claim = claim_folder(options.output)  # until this function ends
        refuse_closed_folder(options.output)
        remove_unfinished(options.output)
    output, predictor = options.output, Predictor(options)

    # Images and their boxes
    source = options.dataset or own_dataset(options.checkpoint, predictor)
    opened = predictor.open(source, [options.checkpoint], options.checkpoints[1:])
    models = [findings_of(checkpoint) for checkpoint in options.checkpoints]
    rows = opened.splits[options.split]
    chosen = choose_boxes(rows, source, options.split, models, options.images, options.allow_missing)

    # Heatmaps, by all processes together
    heatmaps, part = compute_heatmaps(options, predictor, opened, chosen.images)
    dataset_predictions.stop()
    if int(os.environ.get("RANK", 0)):  # the rest is work for one process
        return
    print(f"Heatmaps of {len(part):,} images: {heatmaps['model']}")
    if chosen.boxes.empty:
        print(*chosen.notes, sep="\n")
        return

    # Numbers
    boxed = {name: read_boxed_heatmaps(path, chosen.boxes) for name, path in heatmaps.items()}
    rival, untrained = boxed.get("rival"), boxed.get("untrained")
    notes = [*chosen.notes, *box_notes(options.checkpoints, predictor)]
    result = localise_model(boxed["model"], rival, untrained, notes, listed=bool(options.images))
    truth, detections = coco_files(boxed["model"], result.methods[MODEL])
    write(output / "localisation.json", json.dumps(as_json(result), indent=2) + "\n")
    write(output / "coco_boxes.json", json.dumps(truth) + "\n")
    write(output / "coco_detections.json", json.dumps(detections) + "\n")

    # Pages and pictures
    sheet = contact_sheet.draw(boxed["model"], result, part)
    write(output / "contact_sheet.png", sheet)
    write(output / "localisation.md", localisation_page.markdown(result))
    write(output / "localisation.html", localisation_page.html(result, sheet))
    card = card_localisation.update_card(options.checkpoint) if output.resolve() == options.home.resolve() else []
    print(localisation_page.screen_text(result))
    print(f"Page: {output / 'localisation.html'}", f"Pictures: {output / 'contact_sheet.png'}", sep="\n")
    print(*(f"Model card: {path}" for path in card), sep="\n", end="\n" if card else "")


def compute_heatmaps(options, predictor, opened, images):
    """({name: file} of "model", and of "rival" and "untrained" if asked for; the images as the model gets them)."""

    def compute(name, checkpoint, method, random_weights=False):
        settings, path = predictor.settings_of(checkpoint), options.output / f"{name}.parquet"
        job = Job(checkpoint, settings, path, method, random_weights, options.maps)
        return path, map_images(predictor.accelerator, job, opened, options.split, images, options.batch_size)

    files = {}
    files["model"], part = compute("heatmaps", options.checkpoint, options.method)
    method = predictions.read_about(files["model"])["method"]
    options.refuse_same_method(method)
    if options.has_rival:
        rival, rival_method = options.against or options.checkpoint, options.against_method or options.method
        files["rival"], _ = compute("against", rival, rival_method)
    if options.randomise:
        files["untrained"], _ = compute("random-weights", options.checkpoint, method, random_weights=True)
    return files, part


def box_notes(checkpoints, predictor):
    """A sentence for each model that has learnt from boxes."""
    names = [Path(checkpoint).name for checkpoint in checkpoints if predictor.settings_of(checkpoint).box_weight]
    return [
        f"{name} has learnt from boxes (box_weight): results of models that have learnt from labels "
        "alone are no fair comparison."
        for name in names
    ]


def own_dataset(checkpoint, predictor):
    """The one dataset that a checkpoint was trained on."""
    names = predictor.settings_of(checkpoint).dataset or []
    if len(names) != 1:
        found = f"the datasets {', '.join(names)}" if names else "no dataset"
        raise ValueError(f"the settings.yaml of {checkpoint} names {found}: give one --dataset")
    return names[0]


if __name__ == "__main__":
    with errors_in_one_line("explain.py"):
        main()
