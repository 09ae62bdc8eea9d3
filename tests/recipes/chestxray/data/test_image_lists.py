"""A list names images by path, file name or stem; a name that is not there is said with its line."""

import pytest

from chestxray.data.image_lists import find_listed

PATHS = ["images/a.png", "images/b.png", "images/c.png"]


def test_the_first_word_of_each_line_counts_and_order_and_repeats_do_not(tmp_path):
    (tmp_path / "list.txt").write_text("c.png 1 0\n\n  images/a.png\r\nc\n")
    assert find_listed(tmp_path / "list.txt", PATHS, "test").tolist() == [0, 2]


def test_a_name_that_is_not_there_is_refused_or_left_out(tmp_path):
    (tmp_path / "list.txt").write_text("a.png\nz.png\ny.png\n")
    with pytest.raises(ValueError, match=r"list.txt, line 2: z.png is not in test of nih \(2 such images\)"):
        find_listed(tmp_path / "list.txt", PATHS, "test of nih")
    assert find_listed(tmp_path / "list.txt", PATHS, "test of nih", allow_missing=True).tolist() == [0]


@pytest.mark.parametrize("text", ["", "\n\n", "z.png"])
def test_a_list_that_names_no_image_is_refused(tmp_path, text):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(ValueError, match="list.txt names no image of test"):
        find_listed(tmp_path / "list.txt", PATHS, "test", allow_missing=True)
