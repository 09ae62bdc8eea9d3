"""Synthetic archives in NIH's layout whose training images have boxes too, and whether a model's maps find a box."""

import numpy as np
import pandas as pd
import torch
from PIL import Image

from chestxray.data import sources
from chestxray.images import augment
from chestxray.images.grey import shrink_image
from chestxray.models.classifiers import load_classifier
from chestxray.models.heatmaps import Heatmapper
from chestxray.models.processors import sides
from chestxray.synthetic import phantom

TABLE = "BBox_List_2017.csv"


def with_training_boxes(archive, folder, keep=lambda name: True):
    """A copy of a `phantom` archive of seed 0 in which each image of train has its boxes. keep: of all images' names.

    NIH's own table, and that of `phantom`, has boxes on test images alone.
    """
    folder.mkdir()
    for path in archive.iterdir():
        if path.name != TABLE:
            (folder / path.name).symlink_to(path)
    header, *test = (archive / TABLE).read_text().splitlines()
    train = (archive / "train_val_list.txt").read_text().split()
    lines = [line for line in [*test, *box_lines(sorted({int(name[:8]) for name in train}))] if keep(line[:16])]
    (folder / TABLE).write_text("\n".join([header, *lines]) + "\n")
    return folder


def box_lines(patients):
    """The lines of NIH's table for all images of these patients."""
    for number in patients:
        patient = phantom.draw_patient(0, number)
        for shot in patient.shots:
            for finding, box in phantom.draw_boxes(patient, shot).items():
                yield ",".join(map(str, (shot.name, finding.replace("Infiltration", "Infiltrate"), *box)))


def is_trained_on(archive):
    """A function of an image's name: whether it is in train, and not cut off for validation."""
    train = set((archive / "train_val_list.txt").read_text().split())
    return lambda name: name in train and not sources.is_validation(name[:8])


def boxes_of(archive, wanted=lambda name: True):
    """The boxes of an archive: a row each, with `name`, `finding`, `x`, `y`, `width`, `height`."""
    table = pd.read_csv(archive / TABLE, skiprows=1, header=None).iloc[:, :6]
    table.columns = ["name", "finding", "x", "y", "width", "height"]
    return table[table["name"].map(wanted)].replace({"finding": {"Infiltrate": "Infiltration"}})


def hit_rate(checkpoint, archive, boxes):
    """The share of boxes in which the highest cell of the finding's map has its middle, as a mean over findings."""
    model, processor, findings = load_classifier(checkpoint)
    mapper, (whole, side) = Heatmapper(model), sides(processor)
    hits = []
    for box in boxes.itertuples():
        image = torch.from_numpy(shrink_image(Image.open(archive / "images" / box.name), whole).copy())
        pixels = augment.normalise(image[None, None], side, processor.image_mean, processor.image_std)
        maps = mapper.compute(pixels)[1][0, findings.index(box.finding)]
        row, column = divmod(int(maps.argmax()), maps.shape[1])
        x, y = ((place + 0.5) * 1024 / maps.shape[0] for place in (column, row))
        hits.append(box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height)
    return float(pd.Series(np.array(hits, float)).groupby(boxes["finding"].to_numpy()).mean().mean())
