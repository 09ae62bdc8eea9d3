"""NIH ChestX-ray14: 112,120 frontal chest X-rays of 30,805 patients, 14 findings, the official split.

Reads the raw release in each of its layouts (loose PNGs, tar.gz or zip, read in place) and needs only
`datasets`. Source: https://nihcc.app.box.com/v/ChestXray-NIHCC and Wang et al., CVPR 2017.

    datasets < 4    load_dataset("NIH-Chest-X-ray-dataset.py", "full", data_dir=DIR, trust_remote_code=True)
    any release     builder = NIHChestXray("full", data_dir=DIR)
                    builder.download_and_prepare(num_proc=8)
                    dataset = builder.as_dataset()

Configs: `image-classification` (default), `full`, `object-detection`, `metadata`. Without `data_dir` the
archives are downloaded, from the Hub or, with `source="nih"`, from NIH's own links.
"""

import csv
import filecmp
import glob
import hashlib
import io
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass

import datasets

logger = datasets.logging.get_logger(__name__)
DATASETS_RELEASE = int(datasets.__version__.split(".")[0])

LABELS = [
    "No Finding",
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
]
PLAIN_COLUMNS = {name.replace(" ", "_"): number for number, name in enumerate(LABELS)}  # what SQL needs no quotes for
SEXES = ["F", "M"]
VIEW_POSITIONS = ["PA", "AP"]
BOX_NAMES = {"Infiltrate": "Infiltration"}  # BBox_List_2017.csv spells one finding differently
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
BOX_FRAME = 1024  # pixels; every published image and box is in this frame

METADATA_FILES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")  # the corrected release comes first
BOX_FILE = "BBox_List_2017.csv"
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h]"
IMAGE_NAME = re.compile(r"[0-9]{8}_[0-9]{3}\.png")  # patient and number; other PNGs may lie beside the archives
LIST_FILES = {datasets.Split.TRAIN: "train_val_list.txt", datasets.Split.TEST: "test_list.txt"}
TABLES = (*METADATA_FILES, BOX_FILE, *LIST_FILES.values())
ARCHIVE_ENDINGS = (".tar.gz", ".tgz", ".tar", ".zip")
# publish.py may have written its shards into the archive's own folder
PUBLISHED_TAR = re.compile(r"(?P<split>train|validation|test)-\d{5}-of-(?P<of>\d{5})\.tar")
SYNTHETIC_MARK = "SYNTHETIC.txt"  # lies in archives made by chestxray.synthetic.phantom
SHARD_LENGTH = 100  # loose images or metadata rows in one of the shards that `num_proc` divides

HOMEPAGE = "https://nihcc.app.box.com/v/ChestXray-NIHCC"
HUB_REPOSITORY = "alkzar90/NIH-Chest-X-ray-dataset"
DESCRIPTION = (
    "NIH ChestX-ray14: 112,120 frontal-view chest X-rays of 30,805 patients, labelled with 14 findings mined "
    "from the radiology reports, and the official split by patient."
)
LICENSE = (
    "No restrictions on use. Link to the NIH download site, cite Wang et al. (CVPR 2017) and acknowledge the "
    "NIH Clinical Center as the data provider."
)
CITATION = """\
@inproceedings{Wang_2017,
  title     = {{ChestX-ray8}: Hospital-Scale Chest X-Ray Database and Benchmarks on Weakly-Supervised
               Classification and Localization of Common Thorax Diseases},
  author    = {Wang, Xiaosong and Peng, Yifan and Lu, Le and Lu, Zhiyong and Bagheri, Mohammadhadi and
               Summers, Ronald M.},
  booktitle = {2017 IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2017},
  doi       = {10.1109/CVPR.2017.369}
}
"""


@dataclass
class FolderConfig(datasets.BuilderConfig):
    """A config whose cache key comes from the content of `data_dir`, not from the folder's path.

    allow_missing: accept a folder without some of the images that its tables name.
    """

    allow_missing: bool = False

    def files_read(self):
        """(paths of tables and marks, paths of images or archives) that the builder reads from `data_dir`."""
        raise NotImplementedError

    def create_config_id(self, config_kwargs, *args, **kwargs):
        # `datasets` makes its cache key from the folder's path. It would copy a folder again (46 GB) after a move or
        # under another spelling. If the content changes, it would still give the old rows.
        if self.data_dir:
            contents = fingerprint(self.data_dir, *self.files_read())
            config_kwargs = {**config_kwargs, "data_dir": None, "contents": contents}
        return super().create_config_id(config_kwargs, *args, **kwargs)


@dataclass
class NIHChestXrayConfig(FolderConfig):
    """Which columns to give, and where to read them from.

    allow_missing: accept an archive that holds fewer images than the official lists name.
    source: "hub" or "nih", the place to download from when there is no `data_dir`.
    """

    source: str = "hub"

    def files_read(self):
        tables, loose, archives = find_release(self.data_dir)
        images = [] if self.name == "metadata" else loose.values() or archives
        return [*tables.values(), *archive_marks(self.data_dir)], images


class NIHChestXray(datasets.GeneratorBasedBuilder):
    """The builder; `NIHChestXray("full", data_dir=DIR, allow_missing=True)` accepts a partial archive.

    Raises:
        FileNotFoundError: the metadata or a list is not in `data_dir`.
        ValueError: images that the lists name are missing; a table, an archive or a PNG is damaged or disagrees
            with another. The message names the file and the row or member.
    """

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = NIHChestXrayConfig
    BUILDER_CONFIGS = [
        NIHChestXrayConfig("image-classification", VERSION, description="Image, its path and its labels."),
        NIHChestXrayConfig("full", VERSION, description="The same with patient, view, geometry and boxes."),
        NIHChestXrayConfig("object-detection", VERSION, description="The 880 images that have boxes."),
        NIHChestXrayConfig("metadata", VERSION, description="The table alone, with a column per label."),
    ]
    DEFAULT_CONFIG_NAME = "image-classification"
    DEFAULT_WRITER_BATCH_SIZE = 100  # about 40 MB of PNG in memory at a time

    def __init__(self, config_name=None, **kwargs):
        if kwargs.get("data_dir"):
            kwargs["data_dir"] = os.path.realpath(kwargs["data_dir"])
        # A changed builder, or an older `datasets`, must not get a cache that it cannot read.
        kwargs["hash"] = kwargs.get("hash") or f"{digest(__file__, 'sha256')}-{DATASETS_RELEASE}"
        super().__init__(config_name=config_name or self.DEFAULT_CONFIG_NAME, **kwargs)

    def _info(self):
        label = datasets.ClassLabel(names=LABELS)
        path = {"image_file_path": datasets.Value("string")}
        image = {"image": datasets.Image()}
        labels = {"labels": datasets.Sequence(label)}
        bbox = datasets.Sequence(datasets.Sequence(datasets.Value("float32"), length=4))
        record = {
            "patient_id": datasets.Value("int32"),
            "follow_up": datasets.Value("int32"),
            "patient_age": datasets.Value("int32"),  # years
            "patient_sex": datasets.ClassLabel(names=SEXES),
            "view_position": datasets.ClassLabel(names=VIEW_POSITIONS),
            "original_width": datasets.Value("int32"),  # pixels before NIH scaled to 1024
            "original_height": datasets.Value("int32"),
            "original_pixel_spacing": datasets.Sequence(datasets.Value("float32"), length=2),  # mm, x and y
            "objects": {"bbox": bbox, "category": datasets.Sequence(label)},
        }
        plain = {name: datasets.Value("bool") for name in PLAIN_COLUMNS}
        detection = {
            "image_id": datasets.Value("int64"),
            "width": datasets.Value("int32"),
            "height": datasets.Value("int32"),
            "objects": {
                "id": datasets.Sequence(datasets.Value("int64")),
                "area": datasets.Sequence(datasets.Value("float32")),
                "bbox": bbox,
                "category": datasets.Sequence(label),
            },
        }
        features = {
            "image-classification": {**path, **image, **labels},
            "full": {**path, **image, **labels, **record},
            "object-detection": {**path, **image, **detection},
            "metadata": {**path, **labels, **record, **plain},
        }[self.config.name]
        description = DESCRIPTION
        if self._is_synthetic():
            description = "Synthetic archive in the layout of NIH ChestX-ray14; says nothing of radiographs."
        return datasets.DatasetInfo(
            description=description,
            features=datasets.Features(features),
            homepage=HOMEPAGE,
            license=LICENSE,
            citation=CITATION,
        )

    def _split_generators(self, dl_manager):
        tables, images = self._local(dl_manager) if self.config.data_dir else self._remote(dl_manager)
        if not self._is_synthetic() and not dl_manager.is_streaming:
            for name, path in tables.items():
                warn_unless_published(name, path)
        rows = read_metadata(*self._table(tables, METADATA_FILES))
        boxes = read_boxes(tables[BOX_FILE], rows) if BOX_FILE in tables else {}
        if not boxes and self.config.name == "object-detection":
            raise FileNotFoundError(f"object-detection needs {BOX_FILE}, which is not in {self.config.data_dir}.")

        splits = read_lists({split: self._table(tables, (name,))[1] for split, name in LIST_FILES.items()}, rows)
        generators = []
        for split, names in splits.items():
            if self.config.name == "object-detection":
                names = [name for name in names if name in boxes]
            if not names:  # NIH drew every box on a test image
                continue
            shards = self._shards(images, names, split, listable=not dl_manager.is_streaming)
            records = {name: (rows[name], boxes.get(name, ())) for name in names}
            generators.append(datasets.SplitGenerator(split, {"shards": shards, "records": records}))
        return generators

    def _generate_examples(self, shards, records):
        seen = set()
        for read, source in shards:
            for path, data in read(source, records):
                name = os.path.basename(path)
                if name in seen:
                    raise ValueError(f"{name} comes twice, the second time as {path}. Keep one of them.")
                seen.add(name)
                size = None if data is None else png_size(data, path)
                yield name, self._example(name, data, size, *records[name])

    def _example(self, name, data, size, row, boxes):
        """One row of the config's table. data: PNG bytes; row: see `read_metadata`; boxes: see `read_boxes`."""
        path = f"images/{name}"
        example = {"image_file_path": path, "labels": row["labels"]}
        if data is not None:
            example["image"] = image_of(path, data)
        if self.config.name == "object-detection":
            width, height = size
            scale = (width / BOX_FRAME, height / BOX_FRAME) * 2  # 1.0 in NIH's own images
            scaled = [tuple(side * factor for side, factor in zip(box, scale, strict=True)) for _, box, _ in boxes]
            del example["labels"]
            example |= {
                "image_id": int(name[:8]) * 1000 + int(name[9:12]),
                "width": width,
                "height": height,
                "objects": {
                    "id": [number for number, _, _ in boxes],
                    "area": [w * h for _, _, w, h in scaled],
                    "bbox": scaled,
                    "category": [label for _, _, label in boxes],
                },
            }
        elif self.config.name != "image-classification":
            objects = {"bbox": [box for _, box, _ in boxes], "category": [label for _, _, label in boxes]}
            example |= {**row, "objects": objects}
        if self.config.name == "metadata":
            example |= plain_columns(row["labels"])
        return example

    def _local(self, dl_manager):
        """`data_dir` as (tables {name: path}, images: {name: path} of loose PNGs or [(name, archive)])."""
        tables, loose, archives = find_release(self.config.data_dir)
        return tables, loose or [(path, dl_manager.iter_archive(path)) for path in archives]

    def _table(self, tables, names):
        """The first of `names` among `tables`, as (name, path)."""
        for name in names:
            if name in tables:
                return name, tables[name]
        folder = self.config.data_dir
        above = [place for place in parents(folder) if any(os.path.isfile(os.path.join(place, name)) for name in names)]
        hint = f"{above[0]} has it: give that folder." if above else f"It is part of NIH's release: {HOMEPAGE}"
        raise FileNotFoundError(f"No {' or '.join(names)} in {folder}. {hint}")

    def _remote(self, dl_manager):
        """The download as (tables, images), like `_local`."""
        if self.config.source not in ("hub", "nih"):
            raise ValueError(f'source is "hub" or "nih", not {self.config.source!r}')
        hub = f"{datasets.config.HF_ENDPOINT}/datasets/{HUB_REPOSITORY}/resolve/main/data"
        names = (METADATA_FILES[0], BOX_FILE, *LIST_FILES.values())
        tables = dl_manager.download({name: f"{hub}/{name}" for name in names})
        if self.config.name == "metadata":
            return tables, []
        if self.config.source == "hub":
            urls = {name: f"{hub}/images/{name}.zip" for name in NIH_ARCHIVES}
        else:
            urls = {name: NIH_LINK.format(link) for name, (link, _) in NIH_ARCHIVES.items()}
        paths = dl_manager.download(urls)
        if self.config.source == "nih" and not dl_manager.is_streaming:
            for name, path in paths.items():
                if (found := digest(path, "md5")) != NIH_ARCHIVES[name][1]:
                    raise ValueError(
                        f"{urls[name]} came damaged: MD5 {found}, published {NIH_ARCHIVES[name][1]}. Delete {path} "
                        "and download again."
                    )
        return tables, [(path, dl_manager.iter_archive(path)) for path in paths.values()]

    def _shards(self, images, names, split, listable):
        """The images of `names` as the list that `num_proc` divides: [(reader, what it reads)]."""
        if self.config.name == "metadata":
            return [(read_nothing, names[i : i + SHARD_LENGTH]) for i in range(0, len(names), SHARD_LENGTH)]
        if isinstance(images, dict):
            self._require(names, images, split, "loose PNG files; if there are any, no archive is read")
            paths = [images[name] for name in names if name in images]
            return [(read_files, paths[i : i + SHARD_LENGTH]) for i in range(0, len(paths), SHARD_LENGTH)]
        if listable and all(zipfile.is_zipfile(path) for path, _ in images):
            self._require(names, list_images(images), split, f"{len(images)} zip archives")
        return [(read_archive, archive) for archive in images]

    def _require(self, names, present, split, where):
        missing = [name for name in names if name not in present]
        source = self.config.data_dir or self.config.source
        if len(missing) == len(names):
            raise ValueError(
                f"None of the {len(names):,} images that {LIST_FILES[split]} names is in {source} ({where})."
            )
        if missing and not self.config.allow_missing:
            raise ValueError(
                f"{len(missing):,} of the {len(names):,} images that {LIST_FILES[split]} names are missing from "
                f"{source} ({where}): {', '.join(missing[:3])} … To use a partial archive: --allow-missing in the "
                f'recipes, NIHChestXray("{self.config.name}", data_dir=…, allow_missing=True) in Python.'
            )

    def _prepare_split(self, split_generator, *args, **kwargs):
        super()._prepare_split(split_generator, *args, **kwargs)
        # A compressed tar cannot be listed without reading all of it, so tars are checked after they are read.
        names, shards = (split_generator.gen_kwargs[key] for key in ("records", "shards"))
        written = split_generator.split_info.num_examples
        if written != len(names) and not (self.config.allow_missing and 0 < written < len(names)):
            present = list_images(archive for _, archive in shards)
            if twice := [name for name in names if present[name] > 1]:
                raise ValueError(f"{len(twice):,} images come in two archives: {', '.join(twice[:3])} …")
            self._require(names, present, split_generator.name, f"{len(shards)} archives")

    def _prepare_split_single(self, *args, **kwargs):
        try:
            yield from super()._prepare_split_single(*args, **kwargs)
        except datasets.builder.DatasetGenerationError as error:
            raise cause_of(error)  # noqa: B904

    def _is_synthetic(self):
        return bool(self.config.data_dir and archive_marks(self.config.data_dir))


def cause_of(error):
    """The error that caused a DatasetGenerationError. It says what is wrong, and where.

    An OSError becomes a ValueError: `datasets` reports every OSError as "Cannot find data file", in three lines.
    """
    cause = error.__cause__ or error
    return ValueError(str(cause)) if isinstance(cause, OSError) else cause


# Reading the folder


def files_below(folder):
    """Every file below `folder` that is not hidden, shallow ones first, in the same order on every machine.

    Links are followed. A folder that is found again, for example through a link to a folder above, is read once.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder} is not a folder")
    found, seen, folders = [], set(), [os.fspath(folder)]
    for place in folders:  # the loop adds folders to its own list
        state = os.stat(place)
        if (state.st_dev, state.st_ino) in seen:
            continue
        seen.add((state.st_dev, state.st_ino))
        files, inside = list_folder(place)
        found += files
        folders += sorted(inside)
    return sorted(found, key=lambda path: (path.count(os.sep), path))


def parents(folder):
    """The two folders above a folder."""
    above = os.path.dirname(os.path.realpath(folder))
    return above, os.path.dirname(above)


def list_folder(folder):
    """(paths of files, paths of folders) in a folder, without the hidden ones."""
    files, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            # DirEntry.is_dir raises an error for a link that leads to itself
            if not (os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()):
                files.append(entry.path)
            elif not entry.name.startswith("__"):
                folders.append(entry.path)
    return files, folders


def find_release(folder):
    """What is read from a folder: (tables {name: path}, loose images {name: path}, paths of archives).

    If several tables have the same name, the one nearest to the top of the folder counts.
    """
    tables, loose, archives = {}, {}, []
    for path in files_below(folder):
        name = os.path.basename(path)
        if is_image(name):
            if loose.setdefault(name, path) != path:
                raise ValueError(f"{name} lies twice in the archive: {loose[name]} and {path}. Remove one of them.")
        elif name in TABLES:
            refuse_rival(tables.setdefault(name, path), path)
        elif is_archive(name):
            archives.append(path)
    if METADATA_FILES[0] in tables:
        tables.pop(METADATA_FILES[1], None)
    return tables, loose, archives


def is_release(folder):
    """Whether a folder holds one of NIH's tables, and images or archives. Other files do not matter."""
    names = {os.path.basename(path) for path in files_below(folder)}
    return not names.isdisjoint(TABLES) and any(is_image(name) or is_archive(name) for name in names)


def is_image(name):
    return IMAGE_NAME.fullmatch(name) is not None


def is_archive(name):
    return name.endswith(ARCHIVE_ENDINGS) and not PUBLISHED_TAR.fullmatch(name)


def refuse_rival(first, second):
    """Raise ValueError if two tables have the same name and depth, but different content."""
    equally_deep = first.count(os.sep) == second.count(os.sep)
    if first != second and equally_deep and not filecmp.cmp(first, second, shallow=False):
        raise ValueError(f"{first} and {second} differ. Remove one of them.")


def synthetic_marks(folder):
    """The path of the file that marks synthetic images, in a list; an empty list if there is none at the top."""
    mark = os.path.join(folder, SYNTHETIC_MARK)
    return [mark] if os.path.isfile(mark) else []


def archive_marks(folder):
    """The same for NIH's archive, whose folder may lie one below. Marks that are not beside its tables do not count."""
    below = (glob.glob(os.path.join(glob.escape(folder), "*", name)) for name in METADATA_FILES)
    folders = [folder, *(os.path.dirname(table) for tables in below for table in tables)]
    return [mark for place in folders for mark in synthetic_marks(place)][:1]


def fingerprint(folder, tables, images):
    """SHA-256 over the bytes of the tables, and over name, size and time of the images or archives.

    It does not depend on where `folder` is. Raises OSError, with the path, if one of them is not a file.
    """
    state = hashlib.sha256()
    for path in images:
        size, time = size_and_time(path)
        state.update(f"{path.removeprefix(folder)} {size} {time}\n".encode())
    for path in tables:
        size_and_time(path)  # refuses a fifo: reading it would never end
        state.update(f"{path.removeprefix(folder)} {digest(path, 'sha256')}\n".encode())
    return state.hexdigest()


def size_and_time(path):
    """(bytes, modification time in ns) of a file. Raises OSError for anything else: a broken link, a fifo."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise OSError(f"{path} cannot be read: {error.strerror}. Restore it, or take it out of the folder.") from error
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{path} is no ordinary file. Take it out of the folder.")
    return found.st_size, found.st_mtime_ns


def digest(path, algorithm):
    state = hashlib.new(algorithm)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def warn_unless_published(name, path):
    if name in PUBLISHED and (found := digest(path, "sha256")) not in PUBLISHED[name]:
        known = " or ".join(PUBLISHED[name].values())
        logger.warning(f"{path} is not {known}: its SHA-256 is {found}. Its labels or splits may be different.")


# Reading the tables


def read_text(path):
    """A table or list as text."""
    with open(path, "rb") as file:
        return decode(file.read(), path)


def decode(data, path):
    """The text of bytes in UTF-8, with or without a byte order mark. A ValueError names the file and the line."""
    at = data.find(b"\0")  # in UTF-16, every second byte of ASCII text is zero
    if at < 0:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            data, at = error.object, error.start
    line = data.count(b"\n", 0, at) + 1
    raise ValueError(f"{path}, line {line}: byte {data[at]:#04x} is no UTF-8 text. Save it as UTF-8.")


def read_table(path):
    """CSV rows as (line number, cells), the header first, blank lines left out."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        for cells in reader:
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from None


def read_metadata(name, path):
    """{image name: row}. A row has the columns of the config `full` that come from this table.

    Takes the 2017 and the v2020 release: `Patient Gender` or `Patient Sex`, a trailing comma or none, header
    cells with commas inside, quoted or not.
    """
    table = read_table(path)
    _, header = next(table, (0, []))
    header = ",".join(header).split(",")
    where = find_columns(name, header)
    rows = {}
    for line, cells in table:
        if count_cells(cells) != count_cells(header):
            raise ValueError(f"{name}, line {line}: {count_cells(cells)} cells, the header has {count_cells(header)}")
        cell = {column: cells[index].strip() for column, index in where.items()}
        if cell["image"] in rows:
            raise ValueError(f"{name}, line {line}: {cell['image']} comes a second time")
        if not is_image(cell["image"]):
            raise ValueError(f"{name}, line {line}: image name {cell['image']!r}, expected like 00000798_022.png")
        try:
            rows[cell["image"]] = parse_row(cell)
            if not cell["image"].startswith(f"{rows[cell['image']]['patient_id']:08}"):
                raise ValueError(f"patient {cell['patient_id']}, but the image's name begins with another number")
        except ValueError as error:
            raise ValueError(f"{name}, line {line} ({cell['image']}): {error}") from None
    return rows


def find_columns(name, header):
    """{column: its place in the header}; ValueError if one is missing."""
    where = {}
    for column, spellings in METADATA_COLUMNS.items():
        where[column] = next((header.index(spelling) for spelling in spellings if spelling in header), None)
        if where[column] is None:
            raise ValueError(f"{name} has no column {' or '.join(spellings)!r}; it has {', '.join(header)}")
    return where


def count_cells(cells):
    """The number of cells up to the last one that is not empty. Some copies end their lines with a comma."""
    return max((number for number, cell in enumerate(cells, 1) if cell.strip()), default=0)


def parse_row(cell):
    """Typed values of one metadata row. A ValueError names the value that cannot be read."""
    return {
        "labels": [index(LABELS, label, "finding") for label in cell["labels"].split("|")],
        "patient_id": whole(cell["patient_id"]),
        "follow_up": whole(cell["follow_up"]),
        "patient_age": whole(cell["patient_age"].removesuffix("Y")),  # "060Y" in Kaggle's copies
        "patient_sex": index(SEXES, cell["patient_sex"], "sex"),
        "view_position": index(VIEW_POSITIONS, cell["view_position"], "view position"),
        "original_width": whole(cell["original_width"]),
        "original_height": whole(cell["original_height"]),
        "original_pixel_spacing": (length(cell["spacing_x"]), length(cell["spacing_y"])),
    }


def plain_columns(labels):
    """{column: whether its label is among these}. The Hub's viewer cannot filter a list by what it holds."""
    return {column: number in labels for column, number in PLAIN_COLUMNS.items()}


def whole(text):
    """A whole number of up to nine digits, so that it fits int32. int() would also take "5_0" and "-5"."""
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def length(text):
    """A length: digits, with or without a point. float() would also take "nan" and "1_0.5"."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text):
        raise ValueError(f"{text!r} is no length")
    return float(text)


def index(names, value, what):
    if value not in names:
        raise ValueError(f"unknown {what} {value!r}; known are {', '.join(names)}")
    return names.index(value)


def read_boxes(path, rows):
    """{image name: [(number, (x, y, width, height), label)]}, pixels in the 1024 frame, numbered by table row.

    The first box is number 1, not 0. For each detection pycocotools stores the id of the box that it matches, and 0
    means no match (cocoeval.py of 2.0.11, `evaluateImg`, `dtm[tind,dind] = gt[m]['id']`). A match with a box 0 would
    not count. The header comes with and without trailing commas, and its cell `Bbox [x,y,w,h]` has commas inside.
    Only the first six cells of a row mean anything.
    """
    table = read_table(path)
    _, header = next(table, (0, []))
    if not ",".join(header).startswith(BOX_HEADER):
        raise ValueError(f"{BOX_FILE}, line 1: {','.join(header)!r}, expected {BOX_HEADER}")
    boxes, seen = {}, set()
    for number, (line, cells) in enumerate(table, start=1):
        try:
            name, finding, *sides = (cell.strip() for cell in cells[:6])
            x, y, width, height = map(length, sides)
            label = index(LABELS, BOX_NAMES.get(finding, finding), "finding")
        except ValueError as error:
            raise ValueError(f"{BOX_FILE}, line {line}: {error}") from None
        if name not in rows:
            raise ValueError(f"{BOX_FILE}, line {line}: {name} has no row in the metadata")
        if (box := (name, label, x, y, width, height)) in seen:
            raise ValueError(f"{BOX_FILE}, line {line}: this box of {name} comes a second time")
        seen.add(box)
        boxes.setdefault(name, []).append((number, (x, y, width, height), label))
    return boxes


def read_lists(paths, rows):
    """{split: image names in the list's order}. Each name comes once and has a row in the metadata."""
    splits, seen = {}, {}
    for split, path in paths.items():
        splits[split] = read_text(path).split()
        for name in splits[split]:
            if name in seen:
                raise ValueError(f"{name} comes twice in the lists: {seen[name]} and {LIST_FILES[split]}")
            if name not in rows:
                raise ValueError(f"{name}, named by {LIST_FILES[split]}, has no row in the metadata")
            seen[name] = LIST_FILES[split]
    if len(rows) > len(seen):
        logger.warning(f"{len(rows) - len(seen):,} rows of the metadata are in no list and so in no split.")
    return splits


# Reading the images

# What tarfile and zipfile raise for damaged archives. The last three are for a damaged flag, number or name in one.
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, struct.error, UnicodeError)


def list_images(archives):
    """How often each file name comes in the archives, [(path, _)]. A compressed tar is read to its end."""
    names = Counter()
    for path, _ in archives:
        try:
            names.update(os.path.basename(member) for member in list_members(path))
        except DAMAGE as error:
            raise ValueError(f"{path} is damaged: {error}. Download it again.") from error
    return names


def list_members(path):
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    with tarfile.open(path) as archive:
        return archive.getnames()


def read_nothing(names, wanted):
    """(name, None) for each name: the table alone."""
    for name in names:
        yield name, None


def read_files(paths, wanted):
    """(path, PNG bytes) for each path."""
    for path in paths:
        with open(path, "rb") as file:
            yield path, file.read()


def read_archive(archive, wanted):
    """(archive/member, PNG bytes) for each member of (archive, members) whose file name is in `wanted`."""
    source, members = archive
    last = "the beginning"
    try:
        for path, file in members:
            if path.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", path) or re.match("[A-Za-z]:", path):
                raise ValueError(f"{source} holds a member outside its own folder, {path!r}; refused.")
            last = path
            if os.path.basename(path) in wanted:
                yield f"{source}/{path}", file.read()
    except PermissionError:
        raise
    except DAMAGE as error:
        raise ValueError(f"{source} is damaged at or after {last}: {error}. Download it again.") from error


def image_of(path, data):
    """An image in the form that `datasets` takes; without its path if the current folder has a file at this path.

    `datasets` would then store only the path, and later read the file that is there.
    """
    return {"path": None if os.path.isfile(path) else path, "bytes": data}


def png_size(data, path):
    """(width, height) in pixels from a PNG's header. Raises ValueError if a chunk is cut short or has a wrong CRC."""
    at, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at) if at + 12 <= len(data) else (len(data), b"end of file")
        body = memoryview(data)[at + 4 : at + 8 + length]  # the type is part of what the CRC covers
        if data[:8] != PNG_SIGNATURE or data[at + 8 + length : at + 12 + length] != struct.pack(">I", zlib.crc32(body)):
            raise ValueError(f"{path} is damaged at its {kind.decode('latin1')}, byte {at:,}. Fetch it again.")
        at += 12 + length
    return struct.unpack(">II", data[16:24])


# Tables

METADATA_COLUMNS = {
    "image": ("Image Index",),
    "labels": ("Finding Labels",),
    "follow_up": ("Follow-up #",),
    "patient_id": ("Patient ID",),
    "patient_age": ("Patient Age",),
    "patient_sex": ("Patient Sex", "Patient Gender"),
    "view_position": ("View Position",),
    "original_width": ("OriginalImage[Width",),
    "original_height": ("Height]",),
    "spacing_x": ("OriginalImagePixelSpacing[x",),
    "spacing_y": ("y]",),
}

# SHA-256 of all copies of the tables whose checksum we know. The lists and the first of the other tables are from
# lulucikyo/CheXNet and mlmed/torchxrayvision; Kaggle's is from an LFS pointer of its mirror.
PUBLISHED = {
    "Data_Entry_2017_v2020.csv": {
        "dc1d2df67fdc1c5a7601d48699cda2b13dc2c4841488b4183dcf04884dbaca11": "NIH's v2020 metadata",
    },
    "Data_Entry_2017.csv": {
        "88f75094e25ccc0c6f1f9cdfd4b2f94f9379a0ae07d5ff4dcf94242707b07462": "Kaggle's copy of the 2017 metadata",
    },
    "BBox_List_2017.csv": {
        "0bbfea9d4c4e9771481b3023b1bc9f0df9dea924453b12986beb29b0c4d0c95b": "NIH's box list",
        "14d73ee437f54c1618e89355134f2eb8ba34067f53f5a6d34f0dd4f579fc9199": "NIH's box list without trailing commas",
    },
    "train_val_list.txt": {
        "61fbe896321c1c1c8b75f3e4f3a08e4fef6486d95ef8a667c31d4d60dca6cb81": "NIH's train_val list",
    },
    "test_list.txt": {
        "38ca5ef7f756092946f57c1a59faca882ed589a1ab1f72590b45dc06c6d5e1cc": "NIH's test list",
    },
}

NIH_LINK = "https://nihcc.box.com/shared/static/{}.gz"
# Link and MD5 as in sunlabuiuc/PyHealth, pyhealth/datasets/chestxray14.py, commit 0a75f99.
NIH_ARCHIVES = {
    "images_001": ("vfk49d74nhbxq3nqjg0900w5nvkorp5c", "fe8ed0a6961412fddcbb3603c11b3698"),
    "images_002": ("i28rlmbvmfjbl8p2n3ril0pptcmcu9d1", "ab07a2d7cbe6f65ddd97b4ed7bde10bf"),
    "images_003": ("f1t00wrtdk94satdfb9olcolqx20z2jp", "2301d03bde4c246388bad3876965d574"),
    "images_004": ("0aowwzs5lhjrceb3qp67ahp0rd1l1etg", "9f1b7f5aae01b13f4bc8e2c44a4b8ef6"),
    "images_005": ("v5e3goj22zr6h8tzualxfsqlqaygfbsn", "1861f3cd0ef7734df8104f2b0309023b"),
    "images_006": ("asi7ikud9jwnkrnkj99jnpfkjdes7l6l", "456b53a8b351afd92a35bc41444c58c8"),
    "images_007": ("jn1b4mw4n6lnh74ovmcjb8y48h8xj07n", "1075121ea20a137b87f290d6a4a5965e"),
    "images_008": ("tvpxmn7qyrgl0w8wfh9kqfjskv6nmm1j", "b61f34cec3aa69f295fbb593cbd9d443"),
    "images_009": ("upyy3ml7qdumlgk2rfcvlb9k6gvqq2pj", "442a3caa61ae9b64e61c561294d1e183"),
    "images_010": ("l6nilvfa9cg3s28tqv1qc1olm3gnz54p", "09ec81c4c31e32858ad8cf965c494b74"),
    "images_011": ("hhq8fkdgvcari67vfhs7ppg2w6ni4jze", "499aefc67207a5a97692424cf5dbeed5"),
    "images_012": ("ioqwiy20ihqwyr8pf4c24eazhh281pbu", "dc9fda1757c2de0032b63347a7d2895c"),
}


if __name__ == "__main__":
    raise SystemExit(
        f"This file is a dataset builder, and datasets {datasets.__version__} is installed. "
        + (
            'Use load_dataset("NIH-Chest-X-ray-dataset.py", data_dir=…, trust_remote_code=True).'
            if DATASETS_RELEASE < 4
            else "Releases from 4 on run no loading scripts: use NIHChestXray(data_dir=…) from `chestxray`, then "
            ".download_and_prepare() and .as_dataset()."
        )
    )
