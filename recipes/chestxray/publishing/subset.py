"""A smaller set of patients, divided into train, validation and test."""

from collections.abc import Sequence
from dataclasses import dataclass

from chestxray.data.sources import patient

TEST = 0.2
VALIDATION = 0.1 / (1 - TEST)  # of what the test set leaves


@dataclass(frozen=True)
class Draw:
    """How many patients are chosen at random, and with which seed."""

    patients: int
    seed: int


def draw_splits(names: Sequence[str], draw: Draw) -> dict[str, list[str]]:
    """Choose patients of all patients at random, then test and validation from them. A patient's images stay together.

    First the subset, then its test, then its validation, each by scikit-learn's GroupShuffleSplit with the same
    seed, as MichaelNoya/augmented-chest-xray does (augmented_chest_xray/preprocessing/create_labels.py, commit
    bc8d188). So 8,400 patients with seed 42 are the images of MichaelNoya/nih-chest-xray-webdataset-subset:
    21,172, 2,896 and 6,480, together 30,548. (Its README says 30,545; its three label files, commit 286bb06, hold
    21,172, 2,896 and 6,480 rows.)

    Args:
        names: file names of all images, in any order.

    Returns:
        {"train": names, "validation": names, "test": names}, each in the order of `names`.

    Raises:
        ValueError: fewer than 4 patients are asked for, or all of them.
    """
    available = len(set(map(patient, names)))
    if not 4 <= draw.patients < available:
        raise ValueError(f"{draw.patients:,} patients were asked for; choose from 4 to {available - 1:,}")
    _, subset = cut(names, draw.patients, draw.seed)
    rest, test = cut(subset, TEST, draw.seed)
    train, validation = cut(rest, VALIDATION, draw.seed)
    return {"train": train, "validation": validation, "test": test}


def cut(names: Sequence[str], size: float, seed: int) -> tuple[list[str], list[str]]:
    """(rest, chosen): `size` is a share of the patients or their number."""
    from sklearn.model_selection import GroupShuffleSplit  # takes a second, and most runs draw nothing

    splitter = GroupShuffleSplit(n_splits=1, test_size=size, random_state=seed)
    rest, chosen = next(splitter.split(names, groups=[patient(name) for name in names]))
    return [names[row] for row in rest], [names[row] for row in chosen]
