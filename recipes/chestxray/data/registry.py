"""The datasets that the library knows, and which of them a folder holds.

To add one, write its module in this folder and add its descriptor to `DATASETS`; CONTRIBUTING.md shows how.
"""

from pathlib import Path

from chestxray.data.chexpert import CHEXPERT
from chestxray.data.descriptor import Descriptor
from chestxray.data.mimic import MIMIC
from chestxray.data.nih import NIH, UNKNOWN_FOLDER
from chestxray.data.parquet_folders import PARQUET, PUBLISHED
from chestxray.data.tar_subsets import TAR_SHARDS

# In the order in which a folder is compared with them. What our own scripts write may lie in a folder too: its own
# tables say what it is, not any Parquet or tar somewhere below.
DATASETS = (
    CHEXPERT,
    MIMIC,
    PUBLISHED,
    PARQUET,
    TAR_SHARDS,
    NIH,
)


def recognise(source: str | Path) -> Descriptor:
    """The descriptor of what a folder holds: `PARQUET` for a Hub id, `UNKNOWN_FOLDER` where no other fits.

    Raises ValueError where a folder holds two releases of one dataset.
    """
    folder = Path(source)
    if not folder.is_dir():
        return PARQUET
    return next((dataset for dataset in DATASETS if dataset.recognise(folder)), UNKNOWN_FOLDER)


def frontal_views(dataset: Descriptor) -> frozenset[str]:
    """The classes of `view_position` that are frontal; for Parquet of unknown origin the classes of all datasets."""
    known = [dataset] if dataset.frontal_views else DATASETS
    return frozenset(view for other in known for view in other.frontal_views)


def vocabularies() -> dict[str, Descriptor]:
    """{vocabulary: a dataset with these label names}, NIH's first, because its names are the canonical ones."""
    return {dataset.vocabulary: dataset for dataset in (NIH, *DATASETS) if dataset.meanings}


def refuse_restricted(source: str | Path) -> None:
    """Raise ValueError for a folder of a dataset whose owner forbids to pass it on."""
    dataset = recognise(source)
    if dataset.build and dataset.licence and not dataset.may_be_passed_on:
        raise ValueError(f"{source} holds {dataset.name}, which may not be passed on: {dataset.licence}")
