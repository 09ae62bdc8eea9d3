"""The views in which a model is shown one image; its probabilities are averaged over them."""

import torch

VIEWS = ("none", "flip", "ten-crop")


def side_to_shrink_to(whole, side, tta):
    """The side of the whole image, pixels: ten crops of 224 are cut from 256, and so in proportion.

    whole: the side from whose middle the model was shown `side` pixels.
    """
    return max(whole, round(side * 8 / 7)) if tta == "ten-crop" else whole


def views(images, side, tta):
    """The views of a batch.

    Args:
        images: (n, 1, s, s), with s as `side_to_shrink_to` has it.
        side: what the model takes, pixels.
        tta: "none", the middle; "flip", it and its mirror image; or "ten-crop", the four corners, the middle and
            their mirror images (Krizhevsky et al. 2012, section 4.1).

    Returns:
        A list of (n, 1, side, side).
    """
    far = images.shape[-1] - side
    corners = [(0, 0), (0, far), (far, 0), (far, far)] if tta == "ten-crop" else []
    crops = [images[..., top : top + side, left : left + side] for top, left in (*corners, (far // 2, far // 2))]
    return crops if tta == "none" else [*crops, *(torch.flip(crop, (-1,)) for crop in crops)]
