"""A command as a user types it, with the Python and the folder of now."""

import shlex
import shutil
import sys
from pathlib import Path


def command_line(script: Path, *arguments: str) -> str:
    """What starts a script from the current folder, quoted for a POSIX shell. Paths below the folder are relative."""
    found = shutil.which(Path(sys.executable).name)
    python = Path(sys.executable).name if found == sys.executable else from_here(Path(sys.executable))
    return shlex.join([python, from_here(script), *arguments])


def from_here(path: Path) -> str:
    """A path relative to the current folder if it lies below, otherwise as it is."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
