"""What an image looks like in an epoch depends on the image, the epoch and the seed, and on nothing else."""

import torch

from chestxray.augment import augment, draw

NOTHING = {"flip": 0.0, "rotate": 0.0, "scale": 0.0, "shift": 0.0, "contrast": 0.0}
MUCH = {"flip": 0.5, "rotate": 20.0, "scale": 0.2, "shift": 0.1, "contrast": 0.3}
PIXELS = torch.rand((6, 1, 16, 16), generator=torch.Generator().manual_seed(0))


def test_without_strength_the_image_stays_as_it_is():
    drawn = draw(torch.arange(6), epoch=0, seed=0, **NOTHING)
    assert torch.allclose(augment(PIXELS, drawn), PIXELS, atol=1e-5)


def test_a_certain_flip_is_the_mirror_image():
    drawn = draw(torch.arange(6), epoch=0, seed=0, **{**NOTHING, "flip": 1.0})
    assert torch.allclose(augment(PIXELS, drawn), PIXELS.flip(-1), atol=1e-5)


def test_an_image_is_changed_alike_in_any_batch_and_otherwise_in_the_next_epoch():
    whole = augment(PIXELS, draw(torch.arange(6), epoch=3, seed=1, **MUCH))
    halves = [
        augment(PIXELS[half], draw(torch.arange(6)[half], epoch=3, seed=1, **MUCH)) for half in ([0, 2, 4], [5, 1, 3])
    ]
    assert torch.allclose(whole[[0, 2, 4, 5, 1, 3]], torch.cat(halves), atol=1e-6)
    assert not torch.allclose(whole, augment(PIXELS, draw(torch.arange(6), epoch=4, seed=1, **MUCH)), atol=1e-2)
    assert whole.min() >= 0 and whole.max() <= 1
