"""A file of heatmaps gives back what was written, and is joined a part at a time."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from chestxray.data import predictions
from chestxray.scoring.heatmap_file import HeatmapRows, join_parts, nest, read_rows, unnest, write_part

ABOUT = {"findings": ["Mass", "Edema"], "grid": [3, 4], "method": "cam"}


def rows_of(count, seed=0):
    random = np.random.default_rng(seed)
    names = [f"images/{seed}-{number}.png" for number in range(count)]
    maps = random.normal(size=(count, 2, 3, 4)).astype(np.float32)
    return HeatmapRows(names, [name[-5:] for name in names], maps.mean((2, 3)), maps)


def test_parts_are_joined_in_their_order_a_group_of_rows_each(tmp_path):
    parts = [rows_of(count, seed) for seed, count in enumerate([5, 5, 2])]
    files = [tmp_path / f"{number}.parquet" for number in range(3)]
    for file, rows in zip(files, parts, strict=True):
        write_part(file, rows, ABOUT)
    join_parts(files, tmp_path / "whole.parquet", ABOUT)
    assert predictions.read_about(tmp_path / "whole.parquet") == ABOUT
    found = list(read_rows(tmp_path / "whole.parquet"))
    assert [len(part.images) for part in found] == [5, 5, 2], "no more than a part is read at once"
    for before, after in zip(parts, found, strict=True):
        assert (before.images, before.patients) == (after.images, after.patients)
        np.testing.assert_array_equal(before.logits, after.logits)
        np.testing.assert_array_equal(before.maps, after.maps)


def test_the_numbers_are_float32_lists_of_fixed_length(tmp_path):
    write_part(tmp_path / "a.parquet", rows_of(2), ABOUT)
    (maps,) = pq.read_schema(tmp_path / "a.parquet").field("heatmaps").flatten()
    assert str(maps.type).count("fixed_size_list") == 3 and "float" in str(maps.type)


@pytest.mark.parametrize("shape", [(3, 2), (3, 2, 4, 5), (1, 1, 1, 1)])
def test_nested_lists_have_the_shape_of_their_numbers(shape):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    assert nest(values).to_pylist() == values.tolist()
    np.testing.assert_array_equal(unnest(nest(values)), values)


def test_a_damaged_part_is_named(tmp_path):
    write_part(tmp_path / "a.parquet", rows_of(5), ABOUT)
    maps = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0).column(3)
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[maps.data_page_offset + maps.total_compressed_size - 20] ^= 255
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(ValueError, match="a.parquet is no Parquet file, or a damaged one"):
        join_parts([tmp_path / "a.parquet"], tmp_path / "whole.parquet", ABOUT)
    assert not (tmp_path / "whole.parquet").exists()
