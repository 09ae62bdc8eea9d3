"""A table that is not as it should be is refused by file and line."""

import gzip

import pytest

from chestxray.data.csv_tables import at_line, read_rows


@pytest.fixture
def table(tmp_path):
    """`table(text)` writes a table, gzipped or not, and returns its path."""

    def write(text, name="t.csv"):
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("as_path", [str, lambda path: path])
def test_rows_come_with_their_line_zipped_or_not(table, name, as_path):
    rows = read_rows(as_path(table("a,b\n1,2\n\n3,4\n", name)), ("a", "b"))
    assert list(rows) == [(2, {"a": "1", "b": "2"}), (4, {"a": "3", "b": "4"})]


@pytest.mark.parametrize(
    "text, message",
    [
        ("a\n1\n", "t.csv has no column 'b'; it has a"),
        ("a,b,c\n1,2,3\n", "t.csv has an unknown column 'c'; known are a, b"),
        ("a,b\n1,2\n1,2,3\n", "t.csv, line 3: not 2 cells, as in the header"),
        ("a,b\n1\n", "t.csv, line 2: not 2 cells, as in the header"),
        ("", "t.csv has no column 'a'"),
        ("a,b\nü,1\n".encode("latin-1"), "t.csv, line 2: byte 0xfc is no UTF-8 text"),
    ],
)
def test_a_table_that_is_otherwise_is_refused(table, text, message):
    with pytest.raises(ValueError, match=message):
        list(read_rows(table(text), ("a", "b")))


def test_a_zipped_table_that_is_cut_short_is_refused(table):
    path = table("a,b\n" + "1,2\n" * 100, "t.csv.gz")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="t.csv.gz is damaged: .* Fetch it again"):
        list(read_rows(path, ("a", "b")))


def test_other_columns_are_taken_where_anything_goes(table):
    path = table("a,b,c\n1,2,3\n")
    assert [cells for _, cells in read_rows(path, ("a",), others=None)] == [{"a": "1", "b": "2", "c": "3"}]
    assert len(list(read_rows(path, ("a",), others=("b", "c")))) == 1


def test_an_error_gets_the_line_in_front():
    with pytest.raises(ValueError, match="^t.csv, line 7: unknown sex 'X'$"), at_line("folder/t.csv", 7):
        raise ValueError("unknown sex 'X'")
