"""Files are whole or not there, whatever happens to their writer; a digest is SHA-256."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chestxray import files


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*"))


# whole_file


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with files.whole_file(path) as part:
        part.write_text("half")
        assert not path.exists() and part.parent == path.parent
    assert path.read_text() == "half"
    assert names(tmp_path) == ["new", "new/a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_the_earlier_file_stays_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("earlier")
    with pytest.raises(error), files.whole_file(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "earlier" and names(tmp_path) == ["a.txt"]


def test_the_unfinished_file_lies_in_the_folder_that_is_named(tmp_path):
    with files.whole_file(tmp_path / "out" / "a.txt", folder=tmp_path / "parts") as part:
        part.write_text("whole")
        assert part.parent == tmp_path / "parts"
    assert names(tmp_path) == ["out", "out/a.txt", "parts"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a.txt"
    with files.whole_file(path) as first, files.whole_file(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert first != second and path.read_text() == "first"  # the last one to end


def test_what_a_killed_lone_writer_left_is_removed_by_the_next_one(tmp_path):
    path = tmp_path / "a.txt"
    with files.whole_file(path, alone=True) as part:
        part.write_text("x")
    part.parent.mkdir()
    part.write_text("left by a killed writer")
    part.with_name(".tmpAb1").write_text("left by its library")
    with files.whole_file(path, alone=True, sync=True) as again:
        again.write_text("y")
    assert again == part and path.read_text() == "y" and names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_file_gets_the_mode_of_any_new_file_whatever_its_library_gave_it(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        with files.whole_file(tmp_path / "a", alone=True) as part:
            part.write_text("x")
            part.chmod(0o600)
        with files.whole_folder(tmp_path / "out", last="b") as part:
            (part / "b").write_text("x")
            (part / "b").chmod(0o600)
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "a", tmp_path / "out" / "b")] == [mode, mode]


def test_a_file_that_must_survive_a_power_cut_is_synced_before_it_gets_its_name(tmp_path, monkeypatch):
    path, synced = tmp_path / "a.txt", []
    monkeypatch.setattr(files.os, "fsync", lambda number: synced.append(path.exists()))
    with files.whole_file(path, sync=True) as part:
        part.write_text("x")
    assert synced == [False] and path.exists()
    with files.whole_file(path) as part:
        part.write_text("y")
    assert len(synced) == 1


@pytest.mark.parametrize("content", ["ä\n", "ä\n".encode()])
def test_text_is_written_as_utf8_and_bytes_as_they_are(tmp_path, content):
    files.write(tmp_path / "a", content)
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa4\n"


@pytest.mark.parametrize("error", [OSError(28, "No space left"), RuntimeError("I/O error: No space (os error 28)")])
def test_a_full_disk_is_named_whatever_library_tells_it(tmp_path, error):
    with pytest.raises(OSError, match="The disk of .* is full; a.txt did not fit. Make room and start again") as caught:
        with files.whole_file(tmp_path / "new" / "a.txt"):
            raise error
    assert caught.value.errno == 28 and not names(tmp_path), "nor a new folder"


def test_an_error_about_a_file_elsewhere_stays_as_it_is(tmp_path):
    with pytest.raises(PermissionError, match="elsewhere"), files.whole_file(tmp_path / "a.txt"):
        raise PermissionError(13, "Permission denied", "/elsewhere/b.txt")


def test_a_folder_that_takes_files_stays_as_it_was(tmp_path):
    files.refuse_closed_folder(tmp_path / "new" / "folder")
    assert not names(tmp_path)


# whole_folder


def test_a_folders_files_move_at_the_end_and_the_last_one_last(tmp_path, monkeypatch):
    folder, moved, replace = tmp_path / "out", [], Path.replace
    folder.mkdir()
    (folder / "kept").write_text("mine")
    monkeypatch.setattr(Path, "replace", lambda self, target: (moved.append(self.name), replace(self, target))[1])
    with files.whole_folder(folder, last="b") as part:
        for name in "abc":
            (part / name).write_text(name)
        assert names(folder) == ["kept"]
    assert sorted(moved) == ["a", "b", "c"] and moved[-1] == "b"
    assert names(tmp_path) == ["out", "out/a", "out/b", "out/c", "out/kept"]


def test_after_an_error_a_folder_stays_as_it_was_and_the_next_writer_begins_anew(tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(ValueError), files.whole_folder(folder, last="a") as part:
        (part / "half").write_text("x")
        raise ValueError
    assert not folder.exists()
    with files.whole_folder(folder, last="a") as part:
        assert not names(part)
        (part / "a").write_text("x")
    assert names(tmp_path) == ["out", "out/a"]


# remove_unfinished


def test_files_move_to_the_same_places_and_what_a_killed_writer_left_stays(tmp_path):
    for place, text in (("new/a/1.png", "new"), ("new/b/1.png", "other"), ("old/a/1.png", "old"), ("old/c.png", "own")):
        files.write(tmp_path / place, text)
    (tmp_path / "new" / "a" / ".2.png.0.writing").write_text("half")
    files.move_files(tmp_path / "new", tmp_path / "old")
    found = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    moved = {"old/a/1.png": "new", "old/b/1.png": "other", "old/c.png": "own"}
    assert found == {**moved, "new/a/.2.png.0.writing": "half"}
    files.move_files(tmp_path / "none", tmp_path / "old")


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    kept = ["a.txt", ".hidden", "deep/deeper/.a.txt.1234.writing", "notes.writing"]
    for name in [*kept, ".a.txt.1234abcd.writing", "deep/.b.writing"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files.remove_unfinished(tmp_path)
    assert [name for name in names(tmp_path) if (tmp_path / name).is_file()] == sorted(kept)


def test_the_file_of_a_writer_that_was_killed_is_among_them(tmp_path):
    with files.whole_file(tmp_path / "a.txt") as part:
        part.touch()
        files.remove_unfinished(tmp_path)
        assert not part.exists()
        part.touch()


# Digests


def test_a_digest_is_sha256_of_all_parts_in_order():
    assert files.digest() == hashlib.sha256(b"").hexdigest()
    assert files.digest("ä", b"b") == hashlib.sha256("äb".encode()).hexdigest()
    assert files.digest("a", "b") != files.digest("b", "a")


def test_a_digest_of_files_is_that_of_their_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "BLOCK", 3)
    (tmp_path / "a").write_bytes(b"seven b")
    (tmp_path / "b").write_bytes(b"")
    assert files.digest_files(tmp_path / "a", tmp_path / "b", str(tmp_path / "a")) == files.digest("seven b" * 2)


def test_whoever_reads_the_old_file_reads_it_to_the_end(tmp_path):
    files.write(tmp_path / "a.txt", "old")
    with open(tmp_path / "a.txt") as reader:
        files.write(tmp_path / "a.txt", "new")
        assert reader.read() == "old", "the file was written over in its place"
    assert (tmp_path / "a.txt").read_text() == "new"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_folder_is_claimed_in_a_container_that_has_no_name_for_its_user(tmp_path):
    code = "import os, sys; from chestxray import files; os.setuid(54321); assert files.claim_folder(sys.argv[1])"
    environment = {name: value for name, value in os.environ.items() if name not in ("LOGNAME", "USER", "LNAME")}
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
