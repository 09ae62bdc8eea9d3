"""What a checkpoint's folder is. Nothing here is slow to import, so that a wrong name is answered at once."""

import json
from collections.abc import Iterable
from pathlib import Path

from chestxray.flags import nearest_path


def refuse_no_checkpoint(folder: str | Path) -> None:
    """Raise FileNotFoundError for a folder that is not there, or is no checkpoint's."""
    if not Path(folder).exists():
        raise FileNotFoundError(f"{folder} does not exist{nearest_path(folder)}")
    if not (Path(folder) / "config.json").exists():
        raise FileNotFoundError(
            f"{folder} is no checkpoint's folder: it has no config.json. Give one as finetune.py leaves it"
        )


def answer_wrong_folders(script: str, folders: Iterable[str | Path]) -> None:
    """End with one line if one of the folders is no checkpoint's, before a script imports what takes seconds."""
    try:
        for folder in folders:
            refuse_no_checkpoint(folder)
    except FileNotFoundError as error:
        raise SystemExit(f"{script}: {error}") from None


def is_of_drawn_images(folder: str | Path) -> bool | None:
    """Whether the run of a checkpoint was validated on drawn images alone; None if its results do not say so."""
    path = Path(folder) / "all_results.json"
    if not path.exists():
        return None
    results = json.loads(path.read_text(encoding="utf-8"))
    marks = [value for name, value in results.items() if name.rpartition("/")[2] == "synthetic"]
    return all(marks) if marks else None
