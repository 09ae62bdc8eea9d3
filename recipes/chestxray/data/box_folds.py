"""Folds of NIH's boxed images by patient, to learn from some of the boxes and be scored on the others.

    python -m chestxray.data.box_folds NIH OUT --folds 5

All of NIH's boxes are on images of the official test list. This command writes a folder for each fold, OUT/fold-0 and
so on, that finetune.py takes as --dataset: with lists of its own and a link to the archive. In OUT/fold-2 the boxed
patients of fold 2 are in the test list, and the boxed patients of all other folds are in the train list, with all of
their images. So five models together are scored on each box once, and none of them has seen the patient. The test list
is then no longer NIH's, and no score on it can be compared with a published score of the official test images.

In a clone that is not installed, set PYTHONPATH=recipes:.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from chestxray.data import sources
from chestxray.data.descriptor import SYNTHETIC_MARK
from chestxray.data.nih import builder_file
from chestxray.files import digest, write

LINK = "archive"
Lists = Mapping[str, list[str]]  # {split: names of images}


def fold_of(patient: str, folds: int) -> int:
    """The fold of a patient, 0 to `folds` - 1: from a hash, so it is the same on every machine and in every subset."""
    return int(digest("box_folds ", patient), 16) % folds


def read_archive(archive: Path) -> tuple[Lists, set[str]]:
    """(NIH's lists, the patients of the test list who have a box). Raises ValueError if there are none of one."""
    tables, _, _ = builder_file.find_release(str(archive))
    metadata = next((name for name in builder_file.METADATA_FILES if name in tables), None)
    needed = (builder_file.BOX_FILE, *builder_file.LIST_FILES.values())
    if missing := [name for name in needed if name not in tables] or ["Data_Entry"] * (metadata is None):
        raise ValueError(f"{archive} has no {missing[0]}: name a folder with all of NIH's tables")
    rows = builder_file.read_metadata(metadata, tables[metadata])
    paths = {str(split): tables[name] for split, name in builder_file.LIST_FILES.items()}
    lists = {split: builder_file.read_text(path).split() for split, path in paths.items()}
    boxed = set(builder_file.read_boxes(tables[builder_file.BOX_FILE], rows)).intersection(lists["test"])
    if not boxed:
        raise ValueError(f"no image of the test list of {archive} has a box: there is nothing to divide")
    return lists, {sources.patient(name) for name in boxed}


def lists_of_fold(lists: Lists, boxed: set[str], fold: int, folds: int) -> Lists:
    """The lists of one fold. boxed: patients."""
    moves = {name for name in lists["test"] if is_moved(sources.patient(name), boxed, fold, folds)}
    train = lists["train"] + [name for name in lists["test"] if name in moves]
    return {"train": train, "test": [name for name in lists["test"] if name not in moves]}


def is_moved(patient, boxed, fold, folds):
    """Whether a patient of the test list is learnt from in a fold."""
    return patient in boxed and fold_of(patient, folds) != fold


def write_folds(archive: str | Path, out: str | Path, folds: int = 5) -> list[Path]:
    """Write the folders of all folds. Returns them.

    Raises:
        FileExistsError: `out` is there already. ValueError: the archive has no boxes on test images, or lacks a table;
            there are fewer than two folds, or one of them would be empty.
    """
    archive, out = Path(archive).resolve(), Path(out)
    if folds < 2:
        raise ValueError(f"folds is {folds}; it must be at least 2")
    lists, boxed = read_archive(archive)
    if empty := set(range(folds)) - {fold_of(patient, folds) for patient in boxed}:
        raise ValueError(
            f"{len(boxed)} patients with boxes leave fold {min(empty)} of {folds} empty: give fewer --folds"
        )
    out.mkdir(parents=True)
    return [write_fold(archive, out / f"fold-{n}", lists_of_fold(lists, boxed, n, folds)) for n in range(folds)]


def write_fold(archive, folder, lists):
    """One folder: the lists at its top, which count before those of the archive, and the archive as a link."""
    folder.mkdir()
    for split, name in builder_file.LIST_FILES.items():
        write(folder / name, "\n".join(lists[str(split)]).encode())
    if (archive / SYNTHETIC_MARK).is_file():
        write(folder / SYNTHETIC_MARK, (archive / SYNTHETIC_MARK).read_bytes())
    (folder / LINK).symlink_to(archive, target_is_directory=True)
    return folder


def main(argv: list[str] | None = None) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw, allow_abbrev=False)
    parser.add_argument("archive", type=Path, help="NIH's archive in any layout")
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--folds", type=int, default=5, help="how many; 5 by default")
    try:
        for folder in write_folds(**vars(parser.parse_args(argv))):
            print(folder)
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
