"""NIH ChestX-ray14 for the library: its builder and its descriptor.

The builder is in `NIH-Chest-X-ray-dataset.py`. The Hub wants this name, but an import statement cannot spell it. Only
this module imports the file. `builder_file` also has functions that other datasets use to read their folders.
"""

import os
import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from datasets import DatasetBuilder

from chestxray.data.descriptor import BuildOptions, Descriptor, broader, equal, narrower, no_counterpart
from chestxray.data.observations import PLEURAL_WORDS

builder_file = import_module("NIH-Chest-X-ray-dataset")
NIHChestXray = builder_file.NIHChestXray

# XRV is mlmed/torchxrayvision, torchxrayvision/datasets.py, commit 891eae4, which merges the datasets by name and
# renames "Pleural Effusion" only. For the .txt see `observations.py`.
XRV = "XRV"
OWN_CLASS = "one of NIH's 14 classes, which gives the finding its name"
PHAM = "Pham et al. 2019, hierarchy of the observations"
LESIONS = "lung_lesion.txt: mass, nodule, cavitary lesion, carcinoma, …"
OPACITIES = "Infiltration as above, the others by the hierarchy of Pham et al. 2019"
DICOM_NAME = re.compile(r"[0-9]{8}_[0-9]{3}\.dcm")  # of an image in Google Cloud's copy, see `nih_dicom`

MEANINGS = {
    "Atelectasis": equal("Atelectasis", source=XRV),
    "Cardiomegaly": equal("Cardiomegaly", source=XRV),
    "Effusion": equal("Effusion", source=XRV),
    "Infiltration": equal("Infiltration", source=OWN_CLASS),
    "Mass": equal("Mass", source=OWN_CLASS),
    "Nodule": equal("Nodule", source=OWN_CLASS),
    "Pneumonia": equal("Pneumonia", source=XRV),
    "Pneumothorax": equal("Pneumothorax", source=XRV),
    "Consolidation": equal("Consolidation", source=XRV),
    "Edema": equal("Edema", source=XRV),
    "Emphysema": equal("Emphysema", source=OWN_CLASS),
    "Fibrosis": equal("Fibrosis", source=OWN_CLASS),
    "Pleural_Thickening": equal("Pleural_Thickening", source=OWN_CLASS),
    "Hernia": equal("Hernia", source=OWN_CLASS),
    "No Finding": broader("No Finding", source="NIH's: none of its 14"),
    "Enlarged Cardiomediastinum": narrower("Cardiomegaly", source=PHAM),
    "Lung Opacity": narrower("Infiltration", "Consolidation", "Edema", "Pneumonia", "Atelectasis", source=OPACITIES),
    "Lung Lesion": narrower("Mass", "Nodule", source=LESIONS),
    "Pleural Other": narrower(
        "Pleural_Thickening",
        "Fibrosis",
        source=PLEURAL_WORDS,
    ),
    "Fracture": no_counterpart("not among NIH's 14"),
    "Support Devices": no_counterpart("not among NIH's 14"),
}


def has_metadata(folder: Path) -> bool:
    """Whether NIH's table of images lies in a folder, at any depth."""
    names = map(os.path.basename, builder_file.files_below(folder))
    return any(name in builder_file.METADATA_FILES for name in names)


def has_png(names: Iterable[str]) -> bool:
    """Whether one of these names is of an image of NIH's or of an archive."""
    return any(builder_file.is_image(name) or builder_file.is_archive(name) for name in names)


def is_synthetic(folder: Path) -> bool:
    return bool(builder_file.archive_marks(folder))


def build(folder: Path, options: BuildOptions) -> DatasetBuilder:
    names = [os.path.basename(path) for path in builder_file.files_below(folder)]
    if any(map(DICOM_NAME.fullmatch, names)) and has_png(names):
        builder_file.logger.warning(f"{folder} holds PNG and DICOM files. Only the PNG files are read: NIH's own form.")
    return NIHChestXray("full", data_dir=str(folder), allow_missing=options.allow_missing)


DESCRIPTOR = Descriptor(
    name="NIH ChestX-ray14",
    licence=builder_file.LICENSE,
    may_be_passed_on=True,
    recognise=has_metadata,
    build=build,
    is_synthetic=is_synthetic,
    frontal_views=tuple(builder_file.VIEW_POSITIONS),
    vocabulary="nih",
    meanings=MEANINGS,
)
