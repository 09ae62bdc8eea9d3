"""A synthetic archive's folder belongs to one command, and the number of processes changes nothing."""

import pytest

from chestxray.synthetic import folders


def test_the_notice_says_that_nothing_is_real_and_how_it_was_made(tmp_path):
    folders.claim(tmp_path / "out", "drawing.py", "python -m drawing OUT")
    notice = (tmp_path / "out" / folders.MARK).read_text()
    assert notice.startswith("This archive is synthetic") and "drawing.py" in notice
    assert notice.endswith("    python -m drawing OUT\n")


def test_the_same_command_may_go_on_and_another_may_not(tmp_path):
    folders.claim(tmp_path, "drawing.py", "draw --seed 0")
    (tmp_path / "image.png").touch()
    folders.claim(tmp_path, "drawing.py", "draw --seed 0")
    with pytest.raises(FileExistsError, match="the archive of `draw --seed 0`, not that of `draw --seed 1`"):
        folders.claim(tmp_path, "drawing.py", "draw --seed 1")


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds files but no SYNTHETIC.txt"):
        folders.claim(tmp_path, "drawing.py", "draw")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("num_proc", [1, 2])
def test_patients_come_in_order(num_proc):
    assert folders.draw_patients(str, 9, num_proc) == list("123456789")


def test_a_table_has_its_header_and_quotes_what_needs_it():
    assert folders.csv_bytes("a,b\n", [("x,y", 1), ("ä", "")]) == 'a,b\n"x,y",1\nä,\n'.encode()
