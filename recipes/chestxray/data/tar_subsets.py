"""NIH ChestX-ray14 in tar shards: MichaelNoya's subset, and what `publish.py --format webdataset` writes.

MichaelNoya/nih-chest-xray-webdataset-subset (GitHub, commit 286bb06) holds `datasets/ChestXray14_train_000.tar` …,
`_val_` and `_test_`, with `00000097_000.png` and a pickled `00000097_000.pyd` for each image, and the same labels in
`labels/train_labels.csv` …. Labels are read from the CSV, nothing is unpickled. Ours hold `KEY.png` and `KEY.json`.
"""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import datasets

from chestxray.data import archive
from chestxray.data.archive import Place
from chestxray.data.datasets_internals import FolderBuilder, FolderConfig
from chestxray.data.descriptor import BuildOptions, has_mark
from chestxray.data.nih import DESCRIPTOR as NIH
from chestxray.data.nih import NIHChestXray, builder_file

logger = datasets.logging.get_logger(__name__)

NOYA = re.compile(r"ChestXray14_(?P<split>train|val|test)_\d+\.tar")
OURS = builder_file.PUBLISHED_TAR
NO_FINDING = builder_file.LABELS.index("No Finding")
NOYA_LINK = "https://github.com/MichaelNoya/nih-chest-xray-webdataset-subset"
COLUMNS = ("image_file_path", "image", "labels", "patient_id")
MORE_COLUMNS = ("patient_age", "patient_sex", "view_position")  # in our JSON, not in his CSV


def is_tar_subset(folder: str | os.PathLike) -> bool:
    """Whether a folder holds tar shards of either kind, at any depth."""
    # a string is enough: a Path of each of 112,120 images takes half a second
    return any(is_shard_name(os.path.basename(path)) for path in builder_file.files_below(folder))


@dataclass
class TarSubsetConfig(FolderConfig):
    """allow_missing: go on without the images or shards that are not there, and count them in a warning."""

    def files_read(self):
        shards = find_shards(self.data_dir)
        splits = sorted({split_of(path) for path in shards if is_noya(path)})
        tables = [find_table(self.data_dir, f"{split}_labels.csv") for split in splits]
        return [*tables, *find_marks(shards)], [str(path) for path in shards]


class TarSubset(FolderBuilder):
    """`TarSubset(data_dir=DIR, allow_missing=False)`: the splits train, validation and test that the folder has.

    DIR is a repository of either kind. If one of ours has images in several sizes, DIR is the folder of one size. The
    columns are as NIH's: `image_file_path` ("images/00000097_000.png"), `image` (the file's bytes as they are),
    `labels` and `patient_id`; from our JSON also `patient_age`, `patient_sex` and `view_position`.

    MichaelNoya's subset has splits of its own, with patients drawn at random. 5,277 of its 21,172 train, 541 of its
    2,896 validation and 1,541 of its 6,480 test images are in NIH's official test list (counted on the same images,
    drawn by `publishing.subset`). A model trained on them has seen a fifth of the official test set. Do not score it
    there, and do not compare its own scores with published ones.

    Raises:
        FileNotFoundError: `data_dir` holds no shards, or not the CSV of a split.
        ValueError: a tar, a PNG, a CSV or a JSON is damaged; an image has no labels or comes twice; images that the
            CSV names, or shards of ours, are missing, unless `allow_missing`. The message names the file and the row
            or image.
    """

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = TarSubsetConfig
    DEFAULT_WRITER_BATCH_SIZE = 100

    def _info(self):
        full = NIHChestXray("full").info
        shards = find_shards(self.config.data_dir)
        names = COLUMNS if is_noya(shards[0]) else COLUMNS + MORE_COLUMNS
        description = "NIH ChestX-ray14, or a part of it, in tar shards."
        if find_marks(shards):
            description = (
                "Synthetic archive in the layout of NIH ChestX-ray14 in tar shards; says nothing of radiographs."
            )
        return datasets.DatasetInfo(
            description=description,
            features=datasets.Features({name: full.features[name] for name in names}),
            homepage=full.homepage,
            license=full.license,
            citation=full.citation,
        )

    def _split_generators(self, dl_manager):
        splits = {}
        for path in find_shards(self.config.data_dir):
            splits.setdefault(split_of(path), {})[path] = archive.list_archive(str(path))
        refuse_twice([place for listed in splits.values() for members in listed.values() for place in members])
        return [
            datasets.SplitGenerator(
                "validation" if split == "val" else split,
                self._with_csv(split, listed) if is_noya(next(iter(listed))) else self._with_json(split, listed),
            )
            for split, listed in splits.items()
        ]

    def _with_csv(self, split, listed):
        """What `_generate_examples` takes for a split of MichaelNoya's; listed: {tar: its members}."""
        path = find_table(self.config.data_dir, f"{split}_labels.csv")
        rows = read_labels(path)
        shards = [[(place, None) for place in places if is_image(place)] for places in listed.values()]
        images = {name_of(place): place for shard in shards for place, _ in shard}
        if strangers := [place.name for name, place in images.items() if name not in rows]:
            raise ValueError(f"{strangers[0]} has no row in {path} ({len(strangers):,} such images).")
        if missing := [name for name in rows if name not in images]:
            self._miss(
                f"{len(missing):,} of the {len(rows):,} images of {path} are in no tar: {', '.join(missing[:3])} …"
            )
        return {"shards": shards, "rows": rows}

    def _with_json(self, split, listed):
        """What `_generate_examples` takes for a split of ours; listed: {tar: its members}."""
        of = int(OURS.fullmatch(next(iter(listed)).name)["of"])
        if len(listed) != of:
            self._miss(f"{len(listed)} of the {of} shards of {split} are in {self.config.data_dir}")
        return {"shards": [pair_images(path, places) for path, places in listed.items()], "rows": None}

    def _miss(self, what):
        if not self.config.allow_missing:
            raise ValueError(f"{what}. To use the rest: --allow-missing in the recipes, allow_missing=True in Python.")
        logger.warning(f"{what}. Only the rest is used.")

    def _generate_examples(self, shards, rows):
        for shard in shards:
            for place, description in shard:
                data, name = archive.read_member(place), name_of(place)
                builder_file.png_size(data, place.name)
                path = f"images/{name}"
                row = read_description(description) if description else {"labels": rows[name]}
                row |= {
                    "image_file_path": path,
                    "image": builder_file.image_of(path, data),
                    "patient_id": int(name[:8]),
                }
                yield name, row


# The folder


def find_shards(folder: str | os.PathLike | None) -> list[Path]:
    """The tars of one set of images, in order."""
    found = [Path(path) for path in builder_file.files_below(folder or "")]
    shards = [path for path in found if is_shard_name(path.name)]
    if not shards:
        raise FileNotFoundError(
            f"{folder} holds no tar shards like ChestXray14_train_000.tar or train-00000-of-00001.tar."
        )
    sets = {str(folder if is_noya(path) else path.parent) for path in shards}
    if len(sets) > 1:
        raise ValueError(f"{folder} holds the same images several times; choose one of {', '.join(sorted(sets))}")
    return shards


def find_marks(shards: list[Path]) -> list[str]:
    """The mark of a synthetic archive beside the shards or above them."""
    return [mark for folder in shards[0].parents[:2] for mark in builder_file.synthetic_marks(folder)]


def is_shard_name(name: str) -> bool:
    return (NOYA.fullmatch(name) or OURS.fullmatch(name)) is not None


def is_noya(path: Path) -> bool:
    return NOYA.fullmatch(path.name) is not None


def split_of(path: Path) -> str:
    return (NOYA.fullmatch(path.name) or OURS.fullmatch(path.name))["split"]


def find_table(folder: str | os.PathLike, name: str) -> str:
    for path in builder_file.files_below(folder):
        if os.path.basename(path) == name:
            return path
    raise FileNotFoundError(
        f"No {name} in {folder}. Labels are read from it, never from the pickled .pyd beside an image. It is in "
        f"labels/ of {NOYA_LINK}"
    )


def name_of(place: Place) -> str:
    return os.path.basename(place.member or place.file)


def is_image(place: Place) -> bool:
    return builder_file.is_image(name_of(place))


def refuse_twice(places: Iterable[Place]) -> None:
    """Raise ValueError if an image comes twice."""
    seen: dict[str, Place] = {}
    for place in filter(is_image, places):
        if (first := seen.setdefault(name_of(place), place)) is not place:
            raise ValueError(f"{name_of(place)} comes twice: {first.name} and {place.name}. Keep one of them.")


# The labels


def read_labels(path: str) -> dict[str, list[int]]:
    """{image name: class ids} of a CSV of `Image Index` and NIH's 14 findings, each 0 or 1."""
    table = builder_file.read_table(path)
    _, header = next(table, (0, []))
    if sorted(header) != sorted(["Image Index", *builder_file.LABELS[1:]]):
        raise ValueError(
            f"{path} has the columns {header}; expected Image Index and {', '.join(builder_file.LABELS[1:])}"
        )
    rows = {}
    for line, cells in table:
        cell = dict(zip(header, cells, strict=False))
        name = cell.pop("Image Index", "")
        if len(cells) != len(header) or set(cell.values()) - {"0", "1"}:
            raise ValueError(f"{path}, line {line} ({name}): {cells[1:]} is not 0 or 1 for each of the 14 findings")
        if name in rows:
            raise ValueError(f"{path}, line {line}: {name} comes a second time")
        rows[name] = [builder_file.LABELS.index(label) for label in cell if cell[label] == "1"] or [NO_FINDING]
    return rows


def pair_images(path: Path, places: list[Place]) -> list[tuple[Place, Place]]:
    """[(image, its JSON)] of a tar. Raises ValueError if there is no image, or one without its JSON."""
    beside = {name_of(place): place for place in places}
    images = {place: name_of(place).replace(".png", ".json") for place in places if is_image(place)}
    if not images:
        raise ValueError(f"{path} holds no image named like 00000097_000.png")
    if without := [place.name for place, description in images.items() if description not in beside]:
        raise ValueError(f"{without[0]} has no .json beside it, so no labels ({len(without):,} such images).")
    return [(place, beside[description]) for place, description in images.items()]


def read_description(place: Place) -> dict[str, list[int] | int]:
    """The columns of a row that a JSON of ours gives."""
    text = archive.read_member(place)
    try:
        row = json.loads(text)
        return {
            "labels": [builder_file.index(builder_file.LABELS, name, "finding") for name in row["label_names"]],
            "patient_age": int(row["patient_age"]),
            "patient_sex": builder_file.index(builder_file.SEXES, row["patient_sex"], "sex"),
            "view_position": builder_file.index(builder_file.VIEW_POSITIONS, row["view_position"], "view position"),
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{place.name} is not as publish.py writes it: {error!r}") from error


# The descriptor


def is_only_shards(folder: Path) -> bool:
    """Whether a folder holds tar shards but not NIH's archive. The archive's folder may have shards of publish.py."""
    return is_tar_subset(folder) and not builder_file.is_release(folder)


def is_synthetic(folder: Path) -> bool:
    return has_mark(folder) or bool(find_marks(find_shards(folder)))


def build(folder: Path, options: BuildOptions) -> TarSubset:
    return TarSubset(data_dir=str(folder), allow_missing=options.allow_missing)


DESCRIPTOR = replace(
    NIH,
    name="NIH ChestX-ray14 in tar shards",
    recognise=is_only_shards,
    build=build,
    is_synthetic=is_synthetic,
)
