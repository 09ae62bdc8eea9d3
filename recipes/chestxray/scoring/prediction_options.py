"""The options of every command that scores checkpoints, in one place: values with their defaults, and flags."""

from argparse import ArgumentParser, BooleanOptionalAction
from dataclasses import dataclass

from chestxray.flags import positive


@dataclass(frozen=True, kw_only=True)
class PredictionOptions:
    """Which images are scored, and how they are shown.

    Attributes:
        split: what is scored.
        seen: what happens to images that a model was trained on, and to others of the same patients: "refuse" them,
            or "leave-out" them and say so.
        views: "all" or "frontal"; labeler: whose labels of MIMIC-CXR; equalize: whether histograms are equalised. None
            is what the checkpoint was trained with.
        allow_missing: accept archives that lack images.
        batch_size: images per step, all processes together.
        tta: the views of an image that are averaged, one of `test_time_views.VIEWS`.
    """

    split: str = "test"
    seen: str = "refuse"
    views: str | None = None
    labeler: str | None = None
    equalize: bool | None = None
    allow_missing: bool = False
    batch_size: int = 64
    tta: str = "none"


def add_flags(parser: ArgumentParser) -> None:
    """Declare a flag for each of the options but `tta`, which not every command has."""
    add, default = parser.add_argument, PredictionOptions()
    add("--split", default=default.split, help="what to score (default: test)")
    add(
        "--seen",
        choices=("refuse", "leave-out"),
        default=default.seen,
        help="images that a model was trained on, or others of these patients: refuse them, or leave them out",
    )
    add("--views", choices=("all", "frontal"), help="images to score (default: those the model was trained on)")
    labelers = ("chexpert", "negbio", "both", "radiologist")
    add("--labeler", choices=labelers, help="of MIMIC-CXR (default: the model's)")
    add(
        "--equalize",
        action=BooleanOptionalAction,
        help="equalise histograms, or leave them as they come (default: as the model was trained)",
    )
    add("--allow-missing", action="store_true", help="accept an archive that lacks images")
    add("--batch-size", type=positive, default=default.batch_size, help="images per step, all processes together")
