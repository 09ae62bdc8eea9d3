"""A smaller set of patients, cut into train, validation and test."""

from chestxray.data.sources import patient

TEST = 0.2
VALIDATION = 0.1 / (1 - TEST)  # of what the test set leaves


def draw(names, patients, seed):
    """`patients` of all patients at random, then test and validation from them, never an image without its patient.

    First the subset, then its test, then its validation, each by scikit-learn's GroupShuffleSplit with the same
    seed, as MichaelNoya/augmented-chest-xray does (augmented_chest_xray/preprocessing/create_labels.py, commit
    bc8d188). 8,400 patients with seed 42 are therefore the images of MichaelNoya/nih-chest-xray-webdataset-subset:
    21,172, 2,896 and 6,480, together 30,548. (Its README says 30,545; its three label files, commit 286bb06, hold
    21,172, 2,896 and 6,480 rows.)

    Args:
        names: file names of all images, in any order.
        patients: how many to draw, at least 4 and fewer than there are.

    Returns:
        {"train": names, "validation": names, "test": names}, each in the order of `names`.
    """
    available = len(set(map(patient, names)))
    if not 4 <= patients < available:
        raise ValueError(f"{patients:,} patients were asked for; choose from 4 to {available - 1:,}")
    _, subset = cut(names, patients, seed)
    rest, test = cut(subset, TEST, seed)
    train, validation = cut(rest, VALIDATION, seed)
    return {"train": train, "validation": validation, "test": test}


def cut(names, size, seed):
    """(rest, drawn): `size` is a share of the patients or their number."""
    from sklearn.model_selection import GroupShuffleSplit  # takes a second, and most runs draw nothing

    splitter = GroupShuffleSplit(n_splits=1, test_size=size, random_state=seed)
    parts = next(splitter.split(names, groups=[patient(name) for name in names]))
    return tuple([names[row] for row in part] for part in parts)
