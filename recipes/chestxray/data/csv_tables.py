"""CSV tables with a known header, gzipped or not. Every error names the file and the column or line."""

import csv
import gzip
import io
import os
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager


def read_rows(
    path: str | os.PathLike, columns: Collection[str], others: Collection[str] | None = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, {column: cell}) for each row.

    Args:
        columns: the columns that the table must have.
        others: further columns that it may have; None allows any.

    Raises ValueError if the header is different, a row has another length than the header, or the file is cut short.
    """
    name = os.path.basename(path)
    table = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        header = table.fieldnames or []
        check_header(name, header, columns, others)
        for cells in table:
            if None in cells or None in cells.values():
                raise ValueError(f"{name}, line {table.line_num}: not {len(header)} cells, as in the header")
            yield table.line_num, cells
    except csv.Error as error:
        raise ValueError(f"{name}, line {table.line_num}: {error}. Fetch it again.") from error


def read_text(path: str | os.PathLike) -> str:
    """The text of a file, unzipped where its name ends in .gz. Raises ValueError if it is damaged or not UTF-8."""
    from chestxray.data.nih import builder_file  # needs `datasets`, which takes a second

    name = os.path.basename(path)
    try:
        with (gzip.open if name.endswith(".gz") else open)(path, "rb") as file:
            return builder_file.decode(file.read(), name)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{name} is damaged: {error}. Fetch it again.") from error


def check_header(name: str, header: Collection[str], columns: Collection[str], others: Collection[str] | None) -> None:
    """Raise ValueError if a header lacks one of `columns`, or has one that is in neither list."""
    if missing := [column for column in columns if column not in header]:
        raise ValueError(f"{name} has no column {missing[0]!r}; it has {', '.join(header)}")
    if others is not None and (unknown := [column for column in header if column not in (*columns, *others)]):
        raise ValueError(f"{name} has an unknown column {unknown[0]!r}; known are {', '.join((*columns, *others))}")


@contextmanager
def at_line(path: str | os.PathLike, line: int) -> Iterator[None]:
    """Put file and line before the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{os.path.basename(path)}, line {line}: {error}") from None
