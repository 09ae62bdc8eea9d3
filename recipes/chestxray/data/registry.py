"""The datasets that the library knows, and which of them a folder holds.

To add one, write its module in this folder and its name into `MODULES`; CONTRIBUTING.md shows how.
"""

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from itertools import islice
from pathlib import Path

from datasets import DatasetBuilder

from chestxray.data import chexpert, mimic, nih, parquet_folders
from chestxray.data.descriptor import BuildOptions, Descriptor

# Each has a `DESCRIPTOR`. A folder is compared with them in this order. Our own scripts may have written Parquet or tar
# files into a dataset's folder, so the folder's own tables are looked at first.
MODULES = (
    "chexpert",
    "mimic",
    "published_parquet",
    "parquet_folders",
    "tar_subsets",
    "nih_dicom",
    "nih",
)
DATASETS: tuple[Descriptor, ...] = tuple(import_module(f"chestxray.data.{module}").DESCRIPTOR for module in MODULES)
LOOKED_INTO = 1000  # folders below a wrong one that are searched for tables


def recognise(source: str | Path) -> Descriptor:
    """The descriptor of the dataset in a folder; UNKNOWN_FOLDER if no other fits. A Hub id is taken for Parquet.

    Raises ValueError if a folder holds two releases of one dataset.
    """
    folder = Path(source)
    if not folder.is_dir():
        return parquet_folders.DESCRIPTOR
    return next((dataset for dataset in DATASETS if dataset.recognise(folder)), UNKNOWN_FOLDER)


def build_unknown(folder: Path, options: BuildOptions) -> DatasetBuilder:
    """NIH's builder, which says what the folder lacks.

    Raises FileNotFoundError if the tables of CheXpert or MIMIC-CXR-JPG lie in a folder above or below.
    """
    for place in islice(folders_near(folder), LOOKED_INTO):
        if chexpert.is_chexpert(place) or mimic.is_mimic(place):
            raise FileNotFoundError(f"{folder} holds no tables of a dataset, {place} does: give that folder.")
    return nih.build(folder, options)


def folders_near(folder: Path) -> Iterator[Path]:
    """The two folders above, then all folders below, those near the top first."""
    yield from folder.resolve().parents[:2]
    level = [folder]
    while level:
        level = [path for place in level for path in sorted(place.iterdir()) if path.is_dir()]
        yield from level


UNKNOWN_FOLDER = replace(nih.DESCRIPTOR, licence="", may_be_passed_on=False, recognise=Path.is_dir, build=build_unknown)


def frontal_views(dataset: Descriptor) -> frozenset[str]:
    """The classes of `view_position` that are frontal; for Parquet of unknown origin the classes of all datasets."""
    known = [dataset] if dataset.frontal_views else DATASETS
    return frozenset(view for other in known for view in other.frontal_views)


def vocabularies() -> dict[str, Descriptor]:
    """{vocabulary: a dataset with these label names}, NIH's first, because its names are the canonical ones."""
    return {dataset.vocabulary: dataset for dataset in (nih.DESCRIPTOR, *DATASETS) if dataset.meanings}


def refuse_restricted(source: str | Path) -> None:
    """Raise ValueError for a folder of a dataset that its owner does not let others pass on."""
    dataset = recognise(source)
    if dataset.build and dataset.licence and not dataset.may_be_passed_on:
        raise ValueError(f"{source} holds {dataset.name}, which may not be passed on: {dataset.licence}")
