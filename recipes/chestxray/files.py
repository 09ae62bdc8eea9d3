"""Writing files so that they are whole or not there, and digests. Only this module of the library does these two."""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

UNFINISHED = ".writing"  # how the name of an unfinished file ends
BLOCK = 1 << 20  # bytes read at a time
FULL = "The disk of {folder} is full; {name} did not fit. Make room and start again."
CLOSED = "{folder} cannot be written, so {name} is not there. Choose another folder, or let yourself write there."
DISK_ERRORS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), FULL),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), CLOSED),
    errno.EFBIG: "{name} in {folder} is larger than a file may be here. Raise the limit (ulimit -f) and start again.",
    errno.EMFILE: "Too many files are open for {name} in {folder}. Raise the limit (ulimit -n) and start again.",
}


@contextmanager
def whole_file(
    path: str | Path, folder: str | Path | None = None, alone: bool = False, sync: bool = False
) -> Iterator[Path]:
    """A path to write to. At the end it becomes `path`; after an error it is removed.

    Args:
        folder: where the unfinished file lies; beside `path` by default. It must be on the same disk.
        alone: nobody else writes `path`. Then the file lies in a folder of its own, because some libraries write
            another file beside it (safetensors 0.8 does), and what a killed writer left is removed first.
        sync: wait until the bytes are on the disk. A checkpoint needs this to survive a power cut.

    Raises:
        OSError: as `name_disk`.
    """
    path = Path(path)
    folder = Path(folder or path.parent)
    unfinished = folder / f".{path.name}{'' if alone else '.' + uuid.uuid4().hex[:8]}{UNFINISHED}"
    part = unfinished / path.name if alone else unfinished
    with name_disk(path), new_folders(folder, path.parent):
        try:
            if alone:
                remove(unfinished)
                unfinished.mkdir()
            yield part
            if sync:
                with open(part, "rb") as file:
                    os.fsync(file.fileno())
            move(part, path)
        finally:
            remove(unfinished)


def move(part: Path, path: Path) -> None:
    """Move a new file to its place, with the mode of any new file: safetensors 0.8 lets only its owner read one."""
    with suppress(OSError):  # not every disk knows modes
        part.chmod(0o666 & ~umask())
    part.replace(path)


def umask() -> int:
    """The mode bits that a new file of this process does not get."""
    mask = os.umask(0o077)  # it can only be read by setting it
    os.umask(mask)
    return mask


def remove(path: Path) -> None:
    """Remove a file, or a folder and all in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def new_folders(*folders: Path) -> Iterator[None]:
    """Make folders and those above them. After an error the new ones are removed again, unless something is in them."""
    new = [place for folder in folders for place in (folder, *folder.parents) if not place.exists()]
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for place in new:  # the innermost first
            with suppress(OSError):
                place.rmdir()
        raise


class _Enough(Exception):
    """The folder takes files."""


def refuse_closed_folder(folder: str | Path) -> None:
    """Raise OSError, before hours of work, if no file can be written into a folder. Nothing stays of the trial.

    Only the first of several processes may call it: they would remove each other's folder.
    """
    with suppress(_Enough), whole_file(Path(folder, "what comes out")) as part:
        part.touch()
        raise _Enough


@contextmanager
def name_disk(path: str | Path) -> Iterator[None]:
    """Turn an error of the disk under `path`, of any library, into an OSError that names it and says what to do."""
    path = Path(path)
    try:
        yield
    except Exception as error:
        number, about = disk_error(error), getattr(error, "filename", None)
        if number is None or about and path.parent not in Path(about).parents and Path(about) not in path.parents:
            raise  # an error that names a file elsewhere
        named = OSError(DISK_ERRORS[number].format(name=path.name, folder=path.parent))
        named.errno = number
        raise named from error


def disk_error(error: BaseException) -> int | None:
    """The number of an error of the disk, None for another error. Some libraries give it in their words alone."""
    told = re.search(r"\(os error (\d+)\)|^\[Errno (\d+)\] [^:]*$", str(error))
    number = getattr(error, "errno", None) or (int(told[1] or told[2]) if told else None)
    return number if number in DISK_ERRORS else None


def write(path: str | Path, content: bytes | str) -> None:
    """Write bytes, or text as UTF-8, so that `path` is whole or not there."""
    with whole_file(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_folder(path: str | Path, last: str) -> Iterator[Path]:
    """An empty folder to write to. At the end its files move into `path`: the file named `last` moves after the others.

    After an error in writing it is removed, and `path` stays as it was.
    """
    path = Path(path)
    part = path.with_name(f"{path.name}{UNFINISHED}")
    shutil.rmtree(part, ignore_errors=True)
    with name_disk(path), new_folders(part):
        try:
            yield part
            path.mkdir(parents=True, exist_ok=True)
            for file in sorted(part.iterdir(), key=lambda file: file.name == last):
                move(file, path / file.name)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def move_files(source: str | Path, target: str | Path) -> None:
    """Move all files below a folder to the same places below another one, where they replace files of the same name.

    What killed writers of `whole_file` left stays. After a stop, the same call goes on.
    """
    for path in [path for path in Path(source).rglob("*") if path.is_file()]:
        if not path.name.endswith(UNFINISHED):
            place = Path(target, path.relative_to(source))
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)


def claim_folder(folder: str | Path) -> IO | None:
    """Let no other process of this machine and user write into a folder while the returned file is open.

    The claim is a lock on a file among the temporary files, which ends with the process, however it ends. Where there
    can be no such file there is no claim, and None is returned.

    Raises:
        OSError: another process has it.
    """
    folder = Path(folder).resolve()
    place = Path(tempfile.gettempdir(), f"chestxray-{os.getuid()}", f"{digest(str(folder))[:16]}.lock")
    try:
        place.parent.mkdir(exist_ok=True)
        file = open(place, "a")
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise OSError(f"another process writes {folder} now. Wait for its end, or choose another folder.") from None
    except OSError:
        return None
    return file


def remove_unfinished(folder: str | Path) -> None:
    """Remove what killed writers of `whole_file` left, in `folder` and one level below."""
    for found in (f".*{UNFINISHED}", f"*/.*{UNFINISHED}"):
        for path in Path(folder).glob(found):
            remove(path)


def digest(*parts: bytes | str) -> str:
    """SHA-256 of bytes and texts (as UTF-8), one after the other, as 64 hexadecimal digits."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part.encode() if isinstance(part, str) else part)
    return state.hexdigest()


def digest_files(*paths: str | Path) -> str:
    """SHA-256 of the content of files, one after the other, as 64 hexadecimal digits."""
    state = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                state.update(block)
    return state.hexdigest()
