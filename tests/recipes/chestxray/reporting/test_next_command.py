"""A command on the screen can be pasted into the shell that shows it."""

import shlex
import sys

import pytest

from chestxray.reporting.next_command import command_line


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The current folder, with a Python in `.venv/bin` that runs this."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("")
    python.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(python))
    return tmp_path


def test_what_lies_below_the_current_folder_is_relative(clone):
    assert command_line(clone / "recipes" / "score.py", "runs/a") == ".venv/bin/python recipes/score.py runs/a"


def test_from_another_folder_paths_are_whole(clone, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert command_line(clone / "score.py") == f"{clone}/.venv/bin/python {clone}/score.py"


def test_the_python_that_the_shell_finds_by_itself_is_called_by_its_name(clone, monkeypatch):
    monkeypatch.setenv("PATH", str(clone / ".venv" / "bin"))
    assert command_line(clone / "score.py") == "python score.py"


def test_spaces_and_quotes_are_quoted(clone):
    words = shlex.split(command_line(clone / "a folder" / "score.py", "it's here", "$HOME"))
    assert words == [".venv/bin/python", "a folder/score.py", "it's here", "$HOME"]
