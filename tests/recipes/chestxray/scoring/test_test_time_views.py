"""Test-time augmentation: which views, and that they are what they are called."""

import torch

from chestxray.scoring.test_time_views import side_to_shrink_to, views

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
    assert (side_to_shrink_to(224, 224, "ten-crop"), side_to_shrink_to(224, 224, "flip")) == (256, 224)


def test_a_model_that_was_shown_the_middle_is_shown_it_again():
    assert side_to_shrink_to(256, 224, "none") == side_to_shrink_to(256, 224, "ten-crop") == 256
    (middle,) = views(IMAGES, 4, "none")
    assert torch.equal(middle, IMAGES[..., 2:6, 2:6])
