"""NIH ChestX-ray14 as DICOM files, the form in which Google Cloud hands it out.

The bucket `gcs-public-data--healthcare-nih-chest-xray` holds `dicom/00000798_022.dcm` and `png/00000798_022.png`, and
no tables (https://cloud.google.com/healthcare-api/docs/resources/public-datasets/nih-chest). NIH's table of images and
its two lists must lie in the folder too. Labels, splits and boxes come from them, never from a header.

Each file becomes a PNG of the same pixels when the dataset is built. From there on all is as with NIH's own PNG files.
A header may name another picture than a frontal chest: NIH's table is trusted, because it lists frontal radiographs
only. `predict.py`, which gets files that no table lists, refuses such a header.
"""

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from chestxray import png
from chestxray.data import nih
from chestxray.data.descriptor import BuildOptions
from chestxray.data.nih import DICOM_NAME, NIHChestXray, builder_file, has_png
from chestxray.files import digest_files

WHERE = "DICOM files"


def find_dicoms(folder: str | Path) -> dict[str, str]:
    """{NIH's name of the image: path of its DICOM file}, at any depth of a folder.

    Raises ValueError if an image lies there twice.
    """
    found: dict[str, str] = {}
    for path in builder_file.files_below(folder):
        if DICOM_NAME.fullmatch(os.path.basename(path)):
            name = os.path.basename(png_name(path))
            if found.setdefault(name, path) != path:
                raise ValueError(f"{name} lies twice in the archive: {found[name]} and {path}. Remove one of them.")
    return found


def png_name(path: str) -> str:
    """A path with the ending that NIH's tables have.

    >>> png_name("dicom/00000798_022.dcm"), png_name("images/00000798_022.png")
    ('dicom/00000798_022.png', 'images/00000798_022.png')
    """
    return f"{path.removesuffix('.dcm')}.png" if path.endswith(".dcm") else path


def read_image(path: str) -> bytes:
    """The bytes of a PNG file, or of a DICOM file's picture as a grey PNG.

    Raises ValueError, with the path, for a DICOM file without one grey picture; see `dicom.display.read_display`.
    """
    if path.endswith(".dcm"):
        from chestxray.dicom import display  # needs pydicom, which is an extra

        return png.encode_grey(display.read_display(path, force=True))
    return Path(path).read_bytes()


def read_dicoms(paths: list[str], wanted: object) -> Iterator[tuple[str, bytes]]:
    """(path, PNG bytes) for each path, as `builder_file.read_files`."""
    for path in paths:
        yield png_name(path), read_image(path)


@dataclass
class NIHDicomConfig(builder_file.NIHChestXrayConfig):  # type: ignore[name-defined]  # of a module imported by name
    def files_read(self):
        tables, _, _ = builder_file.find_release(self.data_dir)
        images = [] if self.name == "metadata" else find_dicoms(self.data_dir).values()
        return [*tables.values(), *builder_file.synthetic_marks(self.data_dir)], images


class NIHDicom(NIHChestXray):
    """`NIHDicom("full", data_dir=DIR)`: the columns, splits and errors of `NIHChestXray`."""

    BUILDER_CONFIG_CLASS = NIHDicomConfig
    BUILDER_CONFIGS = [
        NIHDicomConfig(config.name, config.version, description=config.description)
        for config in NIHChestXray.BUILDER_CONFIGS
    ]

    def __init__(self, config_name: str | None = None, **kwargs):
        here = Path(__file__)
        readers = sorted((here.parents[1] / "dicom").glob("*.py"))
        code: list[str | Path] = [str(builder_file.__file__), str(here.parents[1] / "png.py"), here, *readers]
        kwargs["hash"] = kwargs.get("hash") or f"{digest_files(*code)}-{builder_file.DATASETS_RELEASE}"
        super().__init__(config_name, **kwargs)

    def _local(self, dl_manager):
        tables, _, _ = builder_file.find_release(self.config.data_dir)
        return tables, find_dicoms(self.config.data_dir)

    def _shards(self, images, names, split, listable):
        if self.config.name == "metadata":
            return super()._shards(images, names, split, listable)
        self._require(names, images, split, WHERE)
        paths, length = [images[name] for name in names if name in images], builder_file.SHARD_LENGTH
        return [(read_dicoms, paths[start : start + length]) for start in range(0, len(paths), length)]


def is_dicom_release(folder: Path) -> bool:
    """Whether a folder holds NIH's table and DICOM files, and no image of NIH's as PNG, loose or in an archive."""
    names = [os.path.basename(path) for path in builder_file.files_below(folder)]
    has_table = any(name in builder_file.METADATA_FILES for name in names)
    return has_table and any(map(DICOM_NAME.fullmatch, names)) and not has_png(names)


def build(folder: Path, options: BuildOptions) -> NIHDicom:
    if importlib.util.find_spec("pydicom") is None:
        raise ValueError(f"{folder} holds DICOM files, which need pip install -e '.[dicom]'")
    return NIHDicom("full", data_dir=str(folder), allow_missing=options.allow_missing)


DESCRIPTOR = replace(nih.DESCRIPTOR, recognise=is_dicom_release, build=build)
