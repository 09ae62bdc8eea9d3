"""The settings of a finished fine-tune, as a command that predicts with its checkpoint needs them."""

from dataclasses import replace
from pathlib import Path

from chestxray.training.settings import Settings, read_settings


def prediction_settings(
    checkpoint: str | Path,
    *,
    views: str | None = None,
    labeler: str | None = None,
    equalize: bool | None = None,
    allow_missing: bool = False,
) -> Settings:
    """The settings in a checkpoint's settings.yaml, with what a command says instead; None leaves a setting as it is.

    What only training needs is put aside: a policy for uncertain labels, its teacher, and streaming. Without a
    settings.yaml the settings are the defaults, and `dataset` is [].

    Raises:
        FileNotFoundError: the folder is no checkpoint. ValueError: as `read_settings`.
    """
    trained = settings_of_training(checkpoint) or Settings(dataset=[])
    return replace(
        trained,
        uncertain="ignore",
        teacher=None,
        streaming=False,
        views=views or trained.views,
        labeler=labeler or trained.labeler,
        equalize=trained.equalize if equalize is None else equalize,
        allow_missing=trained.allow_missing or allow_missing,
    )


def settings_of_training(checkpoint: str | Path) -> Settings | None:
    """The settings in a checkpoint's settings.yaml, None without that file. Raises as `prediction_settings`."""
    if not (Path(checkpoint) / "config.json").exists():
        raise FileNotFoundError(f"{checkpoint} is no checkpoint's folder (it has no config.json) and no .parquet file")
    return read_settings(checkpoint) if (Path(checkpoint) / "settings.yaml").exists() else None
