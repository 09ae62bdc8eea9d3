"""Which files a person means: files, folders, and tables that name files."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from chestxray.data import image_tables
from chestxray.images.reading import UnreadableImage, is_dicom

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom")
WORD = re.compile(r"\.[a-z][a-z0-9]*", re.IGNORECASE)  # DICOM files are often called IM0001 or 1.2.840.113


def list_files(inputs: Sequence[str], leave_out: Path | None = None) -> list[str]:
    """The paths that the inputs mean, each once, in the order of the inputs; those of a folder are sorted.

    Args:
        inputs: a file; a folder, of which all files with one of ENDINGS are taken, and DICOM files without any ending;
            or a table (.csv, .csv.gz, .parquet), whose paths are relative to its own folder.
        leave_out: a folder inside of which nothing is taken: the output's.

    Raises:
        FileNotFoundError: an input does not exist. ValueError: no file at all, or a damaged table.
    """
    apart = leave_out.resolve() if leave_out else None
    found = list(dict.fromkeys(path for name in inputs for path in files_of(Path(name), apart)))
    if not found:
        raise ValueError(f"{', '.join(inputs)}: no file of {', '.join(ENDINGS)} and no DICOM file")
    for path in found:
        if not path.isprintable():
            raise ValueError(f"{path!r} has a name that no table can hold: rename the file")
    return found


def files_of(place: Path, apart: Path | None) -> Iterator[str]:
    """The paths that one input means. A file that a table names need not be there. apart: see `list_files`."""
    if place.is_dir():
        root = place.resolve()
        for path in sorted(place.rglob("*")):
            inside = root / path.relative_to(place)
            if path.is_file() and is_candidate(path) and not (apart and inside.is_relative_to(apart)):
                yield str(path)
    elif not place.exists():
        raise FileNotFoundError(f"{place} does not exist")
    elif place.name.lower().endswith(image_tables.FORMS):
        yield from (str(place.parent / name) for name in names_in(place))
    else:
        yield str(place)


def is_candidate(path: Path) -> bool:
    """Whether a file of a folder is meant: by its ending, or by its content if it has none."""
    if path.name.startswith("."):
        return False
    if path.suffix.lower() in ENDINGS:
        return True
    try:
        return not WORD.fullmatch(path.suffix) and is_dicom(path)
    except (OSError, UnreadableImage):
        return False


def names_in(table: Path) -> list[str]:
    """The names in a table: its column with a usual header, or else its first column of texts."""
    content = image_tables.read(table)
    texts = [header for header, cells in content.columns.items() if cells.dtype == object]
    if not texts:
        raise ValueError(f"{table} has no column with names of files; it has {', '.join(content.columns)}")
    return [str(name).strip() for name in content.columns[min(texts, key=image_tables.usual_rank)]]
