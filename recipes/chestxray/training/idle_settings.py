"""The settings that have nothing to do while the body is frozen: augmentation, and how a body learns."""

from argparse import Namespace
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any


def idle_values() -> dict[str, Any]:
    """{setting: the value that asks for nothing}."""
    from chestxray.images.augment import Strength  # imports PyTorch, which a wrong flag does not need

    return asdict(Strength()) | {"mixup": 0.0, "drop_path": None, "layer_decay": 1.0, "layer_decay_blocks": 1}


def set_idle(asked: Namespace, named: Iterable[str]) -> None:
    """Give these settings the values that ask for nothing. named: the settings that were asked for beside freeze.

    Raises:
        ValueError: one of those asks for something.
    """
    values = idle_values()
    for name in named:
        if name in values and getattr(asked, name) not in (values[name], None):
            raise ValueError(
                "freeze computes the features of each image once, by a body that does not learn: "
                f"--{name.replace('_', '-')} can change nothing there, leave it out"
            )
    vars(asked).update(values)
