"""What an image looks like in an epoch depends on the image, the epoch and the seed, and on nothing else."""

import zlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from chestxray.data import labels
from chestxray.images.augment import (
    Strength,
    augment,
    draw,
    look_up_by_opencv,
    look_up_by_torch,
    normalise,
    warp_by_opencv,
    warp_by_torch,
)

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
MUCH = {"crop": 0.5, "flip": 0.5, "rotate": 20.0, "scale": 0.2, "shift": 0.1, "contrast": 0.3, "randaugment": 6.0}


@pytest.fixture
def pixels():
    """Six smooth images of 32 × 32, so that a place between two pixels has a grey between theirs."""
    noise = torch.rand((6, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    return (F.interpolate(noise, 32, mode="bicubic").clamp(0, 1) * 255).to(torch.uint8)


def changes_of(index, visible=1.0, epoch=0, **strength):
    return draw(np.asarray(index), epoch, 1, Strength(**strength), visible)


def test_without_strength_the_image_is_what_evaluation_shows(pixels):
    plain = augment(pixels, changes_of(range(6)), 32, MEAN, STD)
    assert torch.allclose(plain, normalise(pixels, 32, MEAN, STD), atol=1e-6)
    wanted = (pixels / 255.0 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert torch.allclose(plain, wanted, atol=1e-5)


def test_the_middle_is_the_same_in_training_and_evaluation(pixels):
    middle = augment(pixels, changes_of(range(6), visible=24 / 32), 24, MEAN, STD)
    assert torch.allclose(middle, normalise(pixels, 24, MEAN, STD), atol=1e-6)


def test_a_certain_flip_is_the_mirror_image(pixels):
    mirrored = augment(pixels, changes_of(range(6), flip=1.0), 32, MEAN, STD)
    assert torch.allclose(mirrored, normalise(pixels.flip(-1), 32, MEAN, STD), atol=1e-6)


def test_an_image_is_changed_alike_in_any_batch_and_otherwise_in_the_next_epoch(pixels):
    whole = augment(pixels, changes_of(range(6), epoch=3, **MUCH), 32, MEAN, STD)
    halves = [
        augment(pixels[half], changes_of(half, epoch=3, **MUCH), 32, MEAN, STD) for half in ([0, 2, 4], [5, 1, 3])
    ]
    assert torch.equal(whole[[0, 2, 4, 5, 1, 3]], torch.cat(halves))
    assert not torch.allclose(whole, augment(pixels, changes_of(range(6), epoch=4, **MUCH), 32, MEAN, STD), atol=1e-2)


def test_the_gpus_warp_and_table_are_the_cpus(pixels):
    matrices = changes_of(range(6), **{**MUCH, "randaugment": 0.0}).matrices
    theta = torch.from_numpy(matrices).float()
    grid = F.affine_grid(theta, (6, 1, 24, 24), align_corners=False)
    inside = (grid.abs() < 0.9).all(-1).unsqueeze(1)  # at the border the two fade to black in their own ways
    assert inside.float().mean() > 0.5
    ours, theirs = (warp(pixels, matrices, 24).int() for warp in (warp_by_opencv, warp_by_torch))
    assert (ours - theirs).abs()[inside].max() < 4
    channels = list(torch.rand((3, 6, 256), generator=torch.Generator().manual_seed(1)))
    assert torch.equal(look_up_by_opencv(pixels, channels), look_up_by_torch(pixels, channels))


def test_a_random_crop_shows_as_much_of_the_area_as_asked_for(pixels):
    matrices = changes_of(range(2000), crop=0.25).matrices
    area = matrices[:, 0, 0] * matrices[:, 1, 1]
    assert 0.2 < area.min() < 0.3 and 0.9 < area.max() <= 1.0
    corners = np.abs(matrices[:, :, 2]) + np.stack([matrices[:, 0, 0], matrices[:, 1, 1]], 1)
    assert corners.max() <= 1 + 1e-9, "no crop reaches beyond the image"


def test_equal_channels_are_computed_once(pixels):
    shown = normalise(pixels, 32, [0.5] * 3, [0.25] * 3)
    assert shown.shape == (6, 3, 32, 32) and shown.stride(1) == 0


def test_randaugment_does_not_repeat_geometry_of_any_seed():
    def angles_and_numbers(seed):
        matrices = draw(np.arange(2000), 0, seed, Strength(rotate=10.0)).matrices
        operated = draw(np.arange(2000), 0, seed, Strength(randaugment=6.0)).operations
        return np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]), operated.operations

    drawn = [angles_and_numbers(seed) for seed in range(3)]
    for angles, _ in drawn:
        for _, operations in drawn:
            for layer in range(2):
                assert abs(np.corrcoef(angles, operations[:, layer])[0, 1]) < 0.1


def test_no_epoch_of_augmentation_draws_what_an_uncertain_label_draws():
    assert min(zlib.crc32(finding.name.encode()) for finding in labels.TABLE) > 1_000_000


def test_what_is_drawn_is_uniform():
    angles = [np.arctan2(row[1, 0], row[0, 0]) for row in changes_of(range(20_000), rotate=10.0).matrices]
    share, _ = np.histogram(np.degrees(angles), bins=10, range=(-10, 10))
    assert share.sum() == 20_000 and np.abs(share - 2000).max() < 200
