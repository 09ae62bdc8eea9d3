"""The official test split is known by its names: published results stand only beside it."""

import pytest

from chestxray.data import official_test
from conftest import NIH


@pytest.mark.skipif(not NIH.is_dir(), reason="NIH's own files are not on this machine (../shared/nih)")
def test_the_official_split_is_known_by_its_names_and_by_all_of_them():
    names = (NIH / "test_list.txt").read_text().split()
    assert official_test.is_official([f"images/{name}" for name in reversed(names)])
    assert not official_test.is_official(names[1:])
    assert not official_test.is_official([*names[1:], "00000001_000.png"])
