"""Tables with a row for each image, from anybody: CSV, gzipped or not, or Parquet. One column names the images."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from chestxray.data.csv_tables import read_text
from chestxray.data.image_names import ImageNames
from chestxray.data.table_files import FORMS

LOOKED_AT = 1_000  # rows of each column that are looked at first, to see which column has names
# Usual headers of the column with the names, without spaces, points and underscores, the most telling first. They
# decide only where the contents of several columns, or of none, are names of images.
USUAL = ("imagefilepath", "imageindex", "imagepath", "imagename", "imageid", "image", "img", "path", "filepath",
         "filename", "file", "name", "dicomid", "key", "id", "index", "indexlevel0", "unnamed0")  # fmt: skip


@dataclass(frozen=True)
class ImageTable:
    """n rows of a file.

    Attributes:
        file: its name, without its folder.
        columns: {header: n cells}, texts or numbers; "" for what is neither, such as the bytes of an image.
        places: what an error calls each row, such as "line 2".
    """

    file: str
    columns: dict[str, np.ndarray]
    places: Sequence[str]

    def names_column(self, images: ImageNames) -> str:
        """The header of the column that names the images: the one with the most names of `images` in it.

        Raises ValueError if no column names any of them, and none has a usual header.
        """
        texts = {header: cells for header, cells in self.columns.items() if cells.dtype == object}
        ranked, counts = sorted(texts, key=usual_rank), dict.fromkeys(texts, 0)
        for step in (max(1, len(self.places) // LOOKED_AT), 1):  # all rows only if the first look finds nothing
            if not any(counts.values()):
                counts = {header: int((images.find(cells[::step]) >= 0).sum()) for header, cells in texts.items()}
        best = max(ranked, key=counts.__getitem__, default=None)
        if best is None or not counts[best] and usual_rank(best) == len(USUAL):
            raise ValueError(f"{self.file} has no column with names of the images; it has {', '.join(self.columns)}")
        return best

    def find_images(self, images: ImageNames, header: str, dataset: str) -> np.ndarray:
        """The position in `images` of the image in each row: (n,) int, -1 for an image that is not among them.

        Args:
            header: see `names_column`. dataset: what an error calls `images`.

        Raises:
            ValueError: an image is named twice; none of the images is in `images`.
        """
        names = self.columns[header]
        self.refuse_repeats(images, header)
        found = images.find(names)
        if not (found >= 0).any():
            theirs = "/".join(next(iter(images.positions), ()))
            example = f"for example {names[0]!r} in column {header}" if len(names) else "it has no rows"
            raise ValueError(f"{self.file} names no image of {dataset}: {example}; {dataset} has for example {theirs}")
        return found

    def refuse_repeats(self, images: ImageNames, header: str) -> None:
        """Raise ValueError if two rows name one image, in one spelling or in two."""
        rows: dict[tuple[str, ...], int] = {}
        for row, name in enumerate(self.columns[header]):
            first = rows.setdefault(images.key(name), row)
            if first != row:
                raise ValueError(
                    f"{self.file} has {name} twice, in {self.places[first]} and {self.places[row]}, column {header}: "
                    "give one row per image"
                )


def plain(text: str) -> str:
    """Letters and digits of a text in lower case: two spellings of a name are one.

    >>> plain("Pleural_Thickening") == plain("pleural thickening")
    True
    """
    return re.sub(r"[^a-z0-9]", "", text.lower())


def usual_rank(header: str) -> int:
    return USUAL.index(plain(header)) if plain(header) in USUAL else len(USUAL)


# Files


def read(path: str | Path) -> ImageTable:
    """A table from a file whose name ends in one of `FORMS`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another ending; a damaged file; two columns with one header; a row that is longer or shorter.
    """
    path = Path(path)
    if not path.name.endswith(FORMS):
        raise ValueError(f"{path.name} is no table: its name must end in {', '.join(FORMS)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    return read_parquet(path) if path.name.endswith(".parquet") else read_csv(path)


def read_csv(path: Path) -> ImageTable:
    lines = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        rows = [(lines.line_num, cells) for cells in lines if cells]
    except csv.Error as error:
        raise ValueError(f"{path.name}, line {lines.line_num}: {error}") from error
    if not rows:
        raise ValueError(f"{path.name} is empty")
    # pandas leaves the header of its index empty, and calls such a column so when it reads it
    headers = [cell.strip() or f"Unnamed: {number}" for number, cell in enumerate(rows[0][1])]
    refuse_repeated_headers(path.name, headers)
    for line, cells in rows[1:]:
        if len(cells) != len(headers):
            raise ValueError(f"{path.name}, line {line}: {len(cells)} cells, but the header has {len(headers)}")
    body = np.array([cells for _, cells in rows[1:]], dtype=object).reshape(-1, len(headers))
    columns = dict(zip(headers, body.T, strict=True))
    return ImageTable(path.name, columns, [f"line {line}" for line, _ in rows[1:]])


def read_parquet(path: Path) -> ImageTable:
    try:
        schema = pq.read_schema(path)
        refuse_repeated_headers(path.name, schema.names)
        flat = [field.name for field in schema if is_flat(field.type)]
        frame = pq.read_table(path, columns=flat).to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path.name} is no Parquet file, or a damaged one: {reason}") from error
    empty = np.full(len(frame), "", dtype=object)
    columns = {name: cells_of(frame[name]) if name in flat else empty for name in schema.names}
    return ImageTable(path.name, columns, [f"row {row}" for row in range(len(frame))])


def is_flat(kind: pa.DataType) -> bool:
    """Whether a type of Arrow is one of text, number or truth value."""
    if pa.types.is_dictionary(kind):
        return is_flat(kind.value_type)
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_floating,
             pa.types.is_boolean, pa.types.is_decimal)  # fmt: skip
    return any(test(kind) for test in tests)


def cells_of(column: pd.Series) -> np.ndarray:
    """Numbers as they are, anything else as texts; a missing text is ""."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.to_numpy()
    texts = column.astype(object)
    return texts.where(texts.notna(), "").map(str).to_numpy(dtype=object)


def refuse_repeated_headers(file: str, headers: Sequence[str]) -> None:
    if repeated := [header for header, count in Counter(headers).items() if count > 1]:
        raise ValueError(f"{file} has two columns {repeated[0]!r}: remove one")
