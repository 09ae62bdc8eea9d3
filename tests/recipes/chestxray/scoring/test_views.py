"""Test-time augmentation: which views, and that they are what they are called."""

import torch

from chestxray.scoring.views import side_to_shrink_to, views

IMAGES = torch.arange(2 * 8 * 8.0).view(2, 1, 8, 8)


def test_none_is_the_image_itself():
    (only,) = views(IMAGES, 8, "none")
    assert torch.equal(only, IMAGES)


def test_flip_adds_the_mirror_image():
    plain, mirrored = views(IMAGES, 8, "flip")
    assert torch.equal(plain, IMAGES) and torch.equal(mirrored, IMAGES.flip(-1))


def test_ten_crops_are_corners_centre_and_their_mirror_images():
    crops = views(IMAGES, 7, "ten-crop")
    assert [tuple(crop.shape) for crop in crops] == [(2, 1, 7, 7)] * 10
    assert torch.equal(crops[0], IMAGES[..., :7, :7]) and torch.equal(crops[3], IMAGES[..., 1:, 1:])
    assert torch.equal(crops[5], crops[0].flip(-1))


def test_ten_crops_of_224_come_from_256():
    assert (side_to_shrink_to(224, "ten-crop"), side_to_shrink_to(224, "flip")) == (256, 224)
