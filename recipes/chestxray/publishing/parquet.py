"""Shards as Parquet. Every release of `datasets` reads and streams them, and the Hub's viewer shows them."""

import json
from collections.abc import Callable, Iterable, Iterator, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features

from chestxray.data.published_parquet import KEY

SUFFIX = ".parquet"
IMAGE_GROUP = 100  # rows in a row group, 40 MB of full-size images: what a streaming reader fetches first
TABLE_GROUP = 10_000
# The content decides where pages end, so a second upload sends only what changed. One to three radiographs in each.
CHUNKS = {"min_chunk_size": 512 * 1024, "max_chunk_size": 2048 * 1024, "norm_level": 0}


@contextmanager
def open_rows(path: Path, features: Features, key: str) -> Iterator[Callable[[dict], None]]:
    """A function that writes one example; `published_parquet.read_key` gives `key` back."""
    schema, has_image = schema_of(features, key), "image" in features
    scalars = [field.name for field in schema if not pa.types.is_nested(field.type)]
    writer = pq.ParquetWriter(
        path,
        schema,
        compression="none" if has_image else "zstd",  # an image is compressed, and much larger than its row
        use_dictionary=not has_image,
        write_statistics=scalars,
        write_page_index=True,
        use_content_defined_chunking=CHUNKS,
    )
    writer.add_key_value_metadata({"content_defined_chunking": json.dumps(CHUNKS)})  # as `datasets` tells the Hub
    with writer, ThreadPoolExecutor(1) as thread:
        groups = Groups(writer, thread, IMAGE_GROUP if has_image else TABLE_GROUP)
        yield groups.add
        groups.finish()


class Groups:
    """Rows on their way into a file, in groups of `length`: one is written while the next one is collected."""

    def __init__(self, writer: pq.ParquetWriter, thread: ThreadPoolExecutor, length: int):
        self.writer, self.thread, self.length = writer, thread, length
        self.rows: list[dict] = []
        self.pending: Future | None = None

    def add(self, row: dict) -> None:
        self.rows.append(row)
        if len(self.rows) == self.length:
            self.flush()

    def flush(self) -> None:
        schema = self.writer.schema
        columns = [pa.array([row[field.name] for row in self.rows], field.type) for field in schema]
        self.rows = []
        self.wait()
        self.pending = self.thread.submit(self.writer.write_table, pa.Table.from_arrays(columns, schema=schema))

    def finish(self) -> None:
        if self.rows:
            self.flush()
        self.wait()

    def wait(self) -> None:
        if self.pending:
            self.pending.result()


def schema_of(features: Features, key: str) -> pa.Schema:
    """The Arrow schema of the rows, the features as `datasets` < 4 writes them and `key` in its metadata."""
    info = {"info": {"features": sequence_form(features.to_dict())}}
    return features.arrow_schema.with_metadata({b"huggingface": json.dumps(info).encode(), KEY: key.encode()})


def sequence_form(feature: object) -> object:
    """A feature's dict with every list called `Sequence`: releases before 4 know no `List`, later ones know both."""
    if not isinstance(feature, dict):
        return feature
    sequence = {"_type": "Sequence"} if feature.get("_type") == "List" else {}
    return {name: sequence_form(value) for name, value in feature.items()} | sequence


def measure(paths: Iterable[Path], columns: Set[str]) -> tuple[int, int]:
    """(rows, bytes of these columns before compression) over several files, from their footers."""
    rows = size = 0
    for path in paths:
        footer = pq.read_metadata(path)
        rows += footer.num_rows
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            chunks = (group.column(column) for column in range(group.num_columns))
            size += sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".")[0] in columns)
    return rows, size
