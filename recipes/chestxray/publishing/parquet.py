"""Shards as Parquet that every release of `datasets` reads, that the Hub's viewer pages through and that streams."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from chestxray.data.parquet_folders import KEY, read_key

__all__ = ["SUFFIX", "measure", "read_key", "write"]
SUFFIX = ".parquet"
IMAGE_GROUP = 100  # rows in a row group, 40 MB of full-size images: what a streaming reader fetches first
TABLE_GROUP = 10_000
# Pages end where the content says so: a re-upload sends only what changed. One to three radiographs in each.
CHUNKS = {"min_chunk_size": 512 * 1024, "max_chunk_size": 2048 * 1024, "norm_level": 0}


def write(path, rows, features, key):
    """Write an iterable of examples; `key` comes back from `read_key`.

    Args:
        features: `datasets.Features` of the rows.
    """
    schema = schema_of(features, key)
    has_image = "image" in features
    scalars = [field.name for field in schema if not pa.types.is_nested(field.type)]
    writer = pq.ParquetWriter(
        path,
        schema,
        compression="none" if has_image else "zstd",  # a PNG is compressed, and outweighs its row a thousandfold
        use_dictionary=not has_image,
        write_statistics=scalars,
        write_page_index=True,
        use_content_defined_chunking=CHUNKS,
    )
    writer.add_key_value_metadata({"content_defined_chunking": json.dumps(CHUNKS)})  # as `datasets` tells the Hub
    rows, length, written = iter(rows), IMAGE_GROUP if has_image else TABLE_GROUP, None
    with writer, ThreadPoolExecutor(1) as thread:  # one group is written while the next is read
        while group := list(islice(rows, length)):
            columns = [pa.array([row[field.name] for row in group], field.type) for field in schema]
            if written:
                written.result()
            written = thread.submit(writer.write_table, pa.Table.from_arrays(columns, schema=schema))
        if written:
            written.result()


def schema_of(features, key):
    """The Arrow schema of the rows, the features as `datasets` < 4 writes them and `key` in its metadata."""
    info = {"info": {"features": older(features.to_dict())}}
    return features.arrow_schema.with_metadata({b"huggingface": json.dumps(info).encode(), KEY: key.encode()})


def older(feature):
    """A feature's dict with every list called `Sequence`: releases before 4 know no `List`, later ones know both."""
    if not isinstance(feature, dict):
        return feature
    named = {"_type": "Sequence"} if feature.get("_type") == "List" else {}
    return {name: older(value) for name, value in feature.items()} | named


def measure(paths, columns):
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
