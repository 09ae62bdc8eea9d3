"""The unknown counts nothing; everything known counts as its paper has it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from chestxray.data.label_choices import UNCERTAIN_CLASS
from chestxray.training import losses

NAN = float("nan")


@pytest.fixture
def logits():
    return torch.randn((6, 4), generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.fixture
def targets():
    return (torch.rand((6, 4), generator=torch.Generator().manual_seed(1)) > 0.5).float()


def test_what_is_unknown_adds_neither_loss_nor_gradient(logits, targets):
    targets[0, 1] = targets[5] = NAN
    loss = losses.choose_loss("bce")(logits, targets)
    loss.backward()
    known = ~targets.isnan()
    wanted = F.binary_cross_entropy_with_logits(logits[known], targets[known], reduction="sum")
    assert loss.item() == pytest.approx(wanted.item())
    assert torch.equal(logits.grad[~known], torch.zeros(5)) and (logits.grad[known] != 0).all()


def test_the_asymmetric_loss_is_the_papers(logits, targets):
    ours = losses.choose_loss("asl")(logits, targets)
    p = logits.detach().sigmoid().numpy()
    shifted = np.maximum(p - 0.05, 0)  # https://arxiv.org/abs/2009.14119, equations 4 to 7
    wanted = np.where(targets.numpy() == 1, -np.log(p), -(shifted**4) * np.log(1 - shifted)).sum()
    assert ours.item() == pytest.approx(wanted, rel=1e-5)


def test_smoothing_moves_targets_towards_one_half(logits, targets):
    smoothed = losses.choose_loss("bce", label_smoothing=0.2)(logits, targets)
    wanted = F.binary_cross_entropy_with_logits(logits, targets * 0.8 + 0.1, reduction="sum")
    assert smoothed.item() == pytest.approx(wanted.item())


def test_positives_weigh_what_there_are_negatives_for_each():
    known = np.array([[1, 0, 0], [0, 0, 1], [0, 0, NAN], [0, 0, 1]], np.float32)
    weights = losses.balancing_weights(known)
    assert weights.tolist() == [3.0, 1.0, 0.5], "no positive: nothing to weigh"
    logits, targets = torch.zeros(4, 3), torch.from_numpy(known)
    loss = losses.choose_loss("bce", positive_weights=weights)(logits, targets)
    assert loss.item() == pytest.approx(np.log(2) * (3 + 3 + 4 + 0.5 + 0.5 + 1))


def test_three_classes_are_a_softmax_each(targets):
    outputs = torch.randn((6, 4, 3), generator=torch.Generator().manual_seed(2))
    targets[0, 0], targets[1, 1] = UNCERTAIN_CLASS, NAN
    known = ~targets.isnan()
    wanted = F.cross_entropy(outputs[known], targets[known].long(), reduction="sum")
    assert losses.choose_loss("bce", classes=3)(outputs.flatten(1), targets).item() == pytest.approx(
        wanted.item(), rel=1e-5
    )


def test_mixup_mixes_images_and_targets_alike_and_the_unknown_stays_unknown(targets):
    torch.manual_seed(3)
    images = torch.randn(6, 3, 2, 2)
    targets[2, 3] = NAN
    mixed, labels = losses.mix(images, targets, alpha=0.4)
    share = ((mixed[0] - images[5]) / (images[0] - images[5])).mean()
    assert 0 < share < 1
    assert torch.allclose(labels[0], share * targets[0] + (1 - share) * targets[5], atol=1e-5)
    assert labels[2, 3].isnan() and labels[3, 3].isnan() and labels.isnan().sum() == 2


@pytest.mark.parametrize(
    "classes, smoothing, weigh", [(1, 0.0, False), (1, 0.2, False), (1, 0.0, True), (3, 0.0, False)]
)
def test_no_other_constant_outputs_have_a_smaller_loss(classes, smoothing, weigh):
    targets = np.random.default_rng(0).choice([0, 1, NAN, 0.3], (4000, 2), p=[0.7, 0.1, 0.1, 0.1])
    targets[::10, 1] = UNCERTAIN_CLASS if classes == 3 else 0
    weights = losses.balancing_weights(targets) if weigh else None
    outputs = losses.constant_outputs(targets, classes, smoothing, weights).requires_grad_()
    loss = losses.choose_loss("bce", classes, smoothing, weights)
    loss(outputs.expand(len(targets), -1), torch.from_numpy(targets).float()).backward()
    assert outputs.grad.abs().max() < 2, "of 4,000 images: half an image is added to each class"


def test_a_finding_without_a_positive_starts_at_a_finite_logit():
    assert losses.constant_outputs(np.zeros((9, 1))).tolist() == pytest.approx([np.log(0.05 / 0.95)])
