"""Synthetic CheXpert and MIMIC-CXR-JPG archives, made by their command, and what tests do to them."""

import gzip

from datasets import Image

from chestxray.synthetic import archives


def write_archive(layout, folder, patients, *flags):
    """Call the command chestxray.synthetic.archives: 32-pixel images; returns the folder."""
    archives.main([layout, str(folder), "--patients", str(patients), "--size", "32", "--num-proc", "1", *flags])
    return folder


def read_lines(table):
    return (gzip.decompress(table.read_bytes()) if table.suffix == ".gz" else table.read_bytes()).decode().splitlines()


def write_lines(table, lines):
    content = "".join(f"{line}\n" for line in lines).encode()
    table.write_bytes(gzip.compress(content) if table.suffix == ".gz" else content)


def change(table, line, old, new):
    """Put `new` for the first `old` in a line of a table, the header being line 1."""
    lines = read_lines(table)
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    write_lines(table, lines)


def build(builder, folder, cache, num_proc=None, **options):
    """The dataset that a builder makes of a folder, in a cache of the test's own."""
    made = builder(data_dir=str(folder), cache_dir=str(cache), **options)
    made.download_and_prepare(num_proc=num_proc)
    return made.as_dataset()


def plain(split):
    """{image_file_path: row, the image as its file's bytes}"""
    rows = split.cast_column("image", Image(decode=False))
    return {row["image_file_path"]: {**row, "image": row["image"]["bytes"]} for row in rows}
