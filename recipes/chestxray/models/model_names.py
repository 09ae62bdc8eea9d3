"""Names of models. timm is imported only for a word that could be one of its names."""

from collections.abc import Sequence
from pathlib import Path

from chestxray.flags import nearest


def refuse_unknown_name(name: str, presets: Sequence[str]) -> None:
    """Raise ValueError, with the nearest preset, for what is no folder, no Hub repository and no timm name."""
    if "/" not in name and not Path(name).exists() and not is_timm_name(name):
        raise ValueError(
            f"{name} is no preset in recipes/configs, no timm name, no folder and no Hub repository"
            f"{nearest(name, presets)}"
        )


def is_timm_name(name: str) -> bool:
    """Whether timm has an architecture of this name. They are names of Python functions, so none has a hyphen."""
    architecture = name.partition(".")[0]
    if not architecture.isidentifier():
        return False
    import timm

    return timm.is_model(architecture)


def repository_of(name: str) -> str:
    """Where the weights of a name lie: a timm name has its repository on the Hub, other names are places."""
    return timm_repository(name) if is_timm_name(name) else name


def timm_repository(name: str) -> str:
    """The Hub repository of a timm name: `resnet18` is `timm/resnet18.a1_in1k`."""
    import timm

    weights = timm.models.get_pretrained_cfg(name)
    return f"timm/{weights.architecture}.{weights.tag}"  # type: ignore[union-attr]
