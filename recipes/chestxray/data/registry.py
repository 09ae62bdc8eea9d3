"""The datasets that the library knows, and which of them a folder holds.

To add one, write its module in this folder and its name into `MODULES`; CONTRIBUTING.md shows how.
"""

from importlib import import_module
from pathlib import Path

from chestxray.data import nih, parquet_folders
from chestxray.data.descriptor import Descriptor

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


def recognise(source: str | Path) -> Descriptor:
    """The descriptor of the dataset in a folder; `nih.UNKNOWN_FOLDER` if no other fits. A Hub id is taken for Parquet.

    Raises ValueError if a folder holds two releases of one dataset.
    """
    folder = Path(source)
    if not folder.is_dir():
        return parquet_folders.DESCRIPTOR
    return next((dataset for dataset in DATASETS if dataset.recognise(folder)), nih.UNKNOWN_FOLDER)


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
