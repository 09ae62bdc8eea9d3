"""How heatmaps are computed, beside the method: the size of the images, their mirror images, and what is taken away."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

VIEWS = ("none", "flip")  # as `test_time_views` names them; ten crops have no map of the whole image


@dataclass(frozen=True)
class MapOptions:
    """The options travel with the heatmaps: two files of other options are never mixed.

    Attributes:
        image_size: side of the images of which maps are computed, pixels; None is the training's. A larger image has a
            finer map. Probabilities stay those of the training's size.
        tta: "flip" for the mean of the map and of the mirror image's map, one of VIEWS. Probabilities are averaged too.
        relative: take away the mean map of validation images, finding by finding. What is left is what sets the image
            apart, not where the model always looks.
    """

    image_size: int | None = None
    tta: str = "none"
    relative: bool = False

    def refuse_small(self, side: int, checkpoint: object) -> None:
        """Raise ValueError if the images are smaller than those of the training, which have `side` pixels."""
        if self.image_size is not None and self.image_size < side:
            raise ValueError(
                f"image size {self.image_size} is less than the {side} pixels of {checkpoint}, and its map would be "
                f"coarser: give at least {side}"
            )


def options_of(model: Mapping[str, Any]) -> MapOptions:
    """The options of heatmaps, from what their file says of the model. Older files say nothing: the defaults."""
    return MapOptions(**{name: model.get(name, default) for name, default in asdict(MapOptions()).items()})


def words(model: Mapping[str, Any]) -> str:
    """The options that are no defaults, to follow the name of a method; "" if there are none.

    >>> words({"image_size": 320, "tta": "flip", "relative": True})
    ' at 320 pixels, averaged with the mirror image, minus the mean map of validation images'
    """
    options = options_of(model)
    size = f" at {options.image_size} pixels" if options.image_size else ""
    mirror = ", averaged with the mirror image" if options.tta == "flip" else ""
    mean = ", minus the mean map of validation images" if options.relative else ""
    return size + mirror + mean
