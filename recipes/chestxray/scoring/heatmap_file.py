"""The heatmaps of a model for many images, as one Parquet file.

Columns: `image_file_path`, `patient`, `logits` (k numbers) and `heatmaps` (k × h × w numbers, float32: a map for each
finding, row = y and column = x of the image that the model sees). The schema's metadata hold, under `chestxray`, a JSON
object with `findings` (in the order of the maps), `method`, `grid` (h, w), `whole` and `side` (pixels: see
`images.geometry`), the dataset and the model with the SHA-256 of its weights. Its rows name images and patients, so do
not share it.

    table = pyarrow.parquet.read_table("heatmaps.parquet")
    maps = numpy.asarray(table["heatmaps"].combine_chunks().flatten().flatten().flatten()).reshape(n, k, h, w)
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from chestxray.data.predictions import KEY, name_unreadable_file
from chestxray.files import whole_file


class HeatmapRows(NamedTuple):
    """n images: paths and patients, n each; logits (n, k) and maps (n, k, h, w), float32."""

    images: list[str]
    patients: list[str]
    logits: np.ndarray
    maps: np.ndarray


def write_part(path: Path, rows: HeatmapRows, about: dict) -> None:
    """Write some rows as a file that is either whole or not there. Only one process may call this.

    Args:
        about: what the metadata say; `findings` and `grid` give the shapes.
    """
    columns = [rows.images, rows.patients, *map(nest, (rows.logits, rows.maps))]
    table = pa.Table.from_arrays([pa.array(part) for part in columns], schema=schema_of(about))
    with whole_file(path, alone=True) as part, open_writer(part, table.schema) as writer:
        writer.write_table(table)


def join_parts(parts: Sequence[Path], path: Path, about: dict) -> None:
    """Write the rows of several files as one, a file at a time, so that memory does not grow with their number."""
    with whole_file(path, alone=True) as whole, open_writer(whole, schema_of(about)) as writer:
        for part in parts:
            with name_unreadable_file(part):
                table = pq.read_table(part, page_checksum_verification=True)
            writer.write_table(table.cast(schema_of(about)))


def read_rows(path: Path) -> Iterator[HeatmapRows]:
    """The rows of a file, a group of rows at a time."""
    with name_unreadable_file(path):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            names = (table[name].to_pylist() for name in ("image_file_path", "patient"))
            yield HeatmapRows(*names, *(unnest(table[name].combine_chunks()) for name in ("logits", "heatmaps")))


def schema_of(about: dict) -> pa.Schema:
    """The columns, with the numbers of findings, rows and columns in their types."""
    count, (height, width) = len(about["findings"]), about["grid"]
    logits = pa.list_(pa.float32(), count)
    maps = pa.list_(pa.list_(pa.list_(pa.float32(), width), height), count)
    columns = {"image_file_path": pa.string(), "patient": pa.string(), "logits": logits, "heatmaps": maps}
    return pa.schema(columns.items(), metadata={KEY: json.dumps(about).encode()})


def open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Numbers of maps hardly repeat, so only the names are kept in a dictionary."""
    return pq.ParquetWriter(path, schema, use_dictionary=["image_file_path", "patient"], write_page_checksum=True)


def nest(values: np.ndarray) -> pa.Array:
    """(n, a, b, …) numbers as n lists of lists of fixed lengths."""
    array = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
    for length in values.shape[:0:-1]:
        array = pa.FixedSizeListArray.from_arrays(array, length)
    return array


def unnest(array: pa.Array) -> np.ndarray:
    """The inverse of `nest`."""
    shape = [len(array)]
    while pa.types.is_fixed_size_list(array.type):
        shape.append(array.type.list_size)
        array = array.flatten()
    return np.asarray(array).reshape(shape)
