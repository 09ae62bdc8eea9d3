"""The image processor that is saved with a model. It prepares radiographs as training did."""

import copy
import json
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import AutoImageProcessor, CLIPImageProcessor, PretrainedConfig

GREY = 0.5  # mean and standard deviation for a model that has none of its own
OLD_SIZES = ("test_input_size", "test_crop_pct", "min_input_size", "pool_size")  # timm's, which ours replace


def read_processor(name: str | Path) -> Any:
    """The image processor of a repository or folder: that of its preprocessor_config.json, or else timm's.

    Without the file's name, transformers asks timm first if config.json has a `pretrained_cfg`.
    """
    return AutoImageProcessor.from_pretrained(name, image_processor_filename="preprocessor_config.json")


def processor_for(
    config: PretrainedConfig, own: Any, image_size: int | None = None, resize: int | None = None
) -> CLIPImageProcessor:
    """What the recipe does to a radiograph before the model sees it.

    Args:
        config: of the model. Its `image_size` is used if neither an argument nor `own` names a side.
        own: the image processor that came with the weights, or None. Its mean and standard deviation are kept, and
            the side that the model sees (after a cut, if it cuts). If it cuts from the middle of a square, as DeiT's
            and our own processors do, the square is kept too. If it shrinks the shorter edge (DINOv2, ConvNeXt,
            timm's `crop_pct`), whole images are shrunk to the side, so that no margin is lost.
        image_size: side that the model sees, pixels. Without `resize`, whole images are shrunk to it.
        resize: side to which whole images are shrunk before image_size is cut from the middle.

    Returns:
        A CLIPImageProcessor. Every transformers has it, with torchvision or Pillow, and it does all that is needed:
        RGB, a square whatever the proportions, the cut. For grey images of the modes L, LA, P, RGB and RGBA it gives
        what `grey.shrink_image` and `augment.normalise` give, up to one level of 255. What it cannot do:

        - 16 bits: Pillow cuts them off at 255 when transformers asks for RGB, here and in `pipeline`. Give it
          `Image.fromarray((array // 256).astype("uint8"))`.
        - Colours stay; the recipe turns them into grey.
        - Transparent pixels become white from transformers 5 on; the recipe and `pipeline` ignore transparency.

    Raises:
        ValueError: resize is less than the side.
    """
    own_side, own_square = own_sides(own)
    side = image_size or own_side or getattr(config, "image_size", None) or 224
    whole = resize or (None if image_size else own_square) or side
    if whole < side:
        raise ValueError(f"resize is {whole}, less than the {side} pixels that the model sees")
    mean, std = statistics_of(own)
    return CLIPImageProcessor(
        size={"height": whole, "width": whole},
        do_center_crop=whole > side,
        crop_size={"height": side, "width": side},
        do_convert_rgb=True,
        resample=Image.Resampling.BICUBIC,
        image_mean=mean,
        image_std=std,
    )


def own_sides(own):
    """(side that a model sees, side of the square it is cut from), by the processor of its weights; None if unknown."""
    if data := getattr(own, "data_config", None):  # how timm's own processor keeps them
        return data["input_size"][-1], None
    size, crop = getattr(own, "size", None) or {}, getattr(own, "crop_size", None) or {}
    if getattr(own, "do_center_crop", False) and crop.get("height"):
        return crop.get("height"), size.get("height")
    return size.get("height") or size.get("shortest_edge"), None


def statistics_of(own):
    """(mean, standard deviation) of each channel, for greys in 0 to 1."""
    data = getattr(own, "data_config", None) or {}
    mean = data.get("mean") or getattr(own, "image_mean", None) or [GREY] * 3
    std = data.get("std") or getattr(own, "image_std", None) or [GREY] * 3
    return list(mean), list(std)


def sides(processor: CLIPImageProcessor) -> tuple[int, int]:
    """(side to which images are shrunk, side of the middle that the model sees), pixels."""
    whole = processor.size["height"]
    return whole, processor.crop_size["height"] if getattr(processor, "do_center_crop", False) else whole


def for_side(processor: CLIPImageProcessor, side: int) -> CLIPImageProcessor:
    """A copy for images of another side. Whole images grow or shrink in the same proportion."""
    whole, own = sides(processor)
    other = copy.deepcopy(processor)
    other.size = {"height": round(whole * side / own), "width": round(whole * side / own)}
    other.crop_size = {"height": side, "width": side}
    return other


def describe_to_timm(config: PretrainedConfig, processor: CLIPImageProcessor) -> None:
    """Write what the processor does into a timm model's configuration, by the processor's names and by timm's.

    timm's are for `timm.create_model("local-dir:FOLDER")`. If there is a `pretrained_cfg`, transformers reads the
    processor from config.json too: 4.57.1 all of it, 5.23 its class (AutoImageProcessor.from_pretrained).
    """
    whole, side = sides(processor)
    for name, value in json.loads(processor.to_json_string()).items():
        setattr(config, name, value)
    there = getattr(config, "pretrained_cfg", None) or {}
    config.pretrained_cfg = {name: value for name, value in there.items() if name not in OLD_SIZES} | {
        "input_size": [3, side, side],
        "crop_pct": side / whole,
        "crop_mode": "squash",
        "interpolation": "bicubic",
        "mean": list(processor.image_mean),
        "std": list(processor.image_std),
    }
