"""The settings of a finished fine-tune, as a command that predicts with its checkpoint needs them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from chestxray.training.checkpoint_folders import refuse_no_checkpoint
from chestxray.training.settings import Settings
from chestxray.training.settings_files import read_settings


def prediction_settings(
    checkpoint: str | Path,
    *,
    views: str | None = None,
    labeler: str | None = None,
    equalize: bool | None = None,
    allow_missing: bool = False,
) -> Settings:
    """The settings in a checkpoint's settings.yaml. The arguments replace them; None leaves a setting as it is.

    Settings that only training needs are reset: the policy for uncertain labels, its teacher, and streaming. Without a
    settings.yaml the settings are the defaults, and `dataset` is [].

    Raises:
        FileNotFoundError: the folder is no checkpoint. ValueError: as `read_settings`.
    """
    trained = settings_of_training(checkpoint) or Settings(dataset=[])
    arguments: dict[str, Any] = {"views": views, "labeler": labeler, "equalize": equalize}
    return replace(
        trained,
        uncertain="ignore",
        teacher=None,
        streaming=False,
        allow_missing=trained.allow_missing or allow_missing,
        **{name: value for name, value in arguments.items() if value is not None},
    )


def settings_of_training(checkpoint: str | Path) -> Settings | None:
    """The settings in a checkpoint's settings.yaml, None without that file. Raises as `prediction_settings`."""
    refuse_no_checkpoint(checkpoint)
    return read_settings(checkpoint) if (Path(checkpoint) / "settings.yaml").exists() else None
