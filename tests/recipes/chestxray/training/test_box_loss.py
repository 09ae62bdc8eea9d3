"""The loss of the boxes: where the evidence lies, and not how much of it there is."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, DynamoBackend

from chestxray.images.boxes import Boxes
from chestxray.models import classifiers
from chestxray.training.box_loss import BoxLoss, energy_loss, merge_boxes
from heatmap_models import BOTH, FINDINGS, MEAN, OTHER, SIDE, TOKEN, images, make_model

ASIS = np.tile([[[1.0, 0, 0], [0, 1, 0]]], (5, 1, 1))  # no augmentation


@pytest.fixture
def maps():
    return torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))


def half(count=3):
    shares = torch.zeros(count, 4, 4)
    shares[:, :2] = 1
    return shares


def test_it_is_the_logarithm_of_the_share_inside(maps):
    wanted = -sum(np.log(np.exp(each[:2]).sum() / np.exp(each).sum()) for each in maps.numpy())
    assert energy_loss(maps, half()).item() == pytest.approx(wanted, rel=1e-5)


def test_a_constant_added_to_a_map_changes_nothing(maps):
    assert energy_loss(maps - 100, half()).item() == pytest.approx(energy_loss(maps, half()).item(), rel=1e-4)


def test_a_peak_in_a_box_smaller_than_a_cell_costs_nothing():
    maps, shares = torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)
    maps[0, 1, 2], shares[0, 1, 2] = 50, 0.01
    assert energy_loss(maps, shares).item() == pytest.approx(0, abs=1e-6)


def test_a_gradient_raises_the_map_inside_and_lowers_it_outside_also_where_all_is_negative(maps):
    maps = (maps - 10).requires_grad_()
    energy_loss(maps, half()).backward()
    assert (maps.grad[:, :2] < 0).all() and (maps.grad[:, 2:] > 0).all()


def test_two_boxes_of_one_finding_are_one_mask():
    boxes = Boxes(np.array([1, 0, 1]), np.array([2, 2, 2]), np.zeros((3, 4)))
    shares = np.zeros((3, 1, 3), np.float32)
    shares[0, 0, 0], shares[1, 0, 1], shares[2, 0, :2] = 0.25, 1, (0.5, 0.75)
    rows, findings, merged = merge_boxes(boxes, shares)
    assert rows.tolist() == [0, 1] and findings.tolist() == [2, 2]
    assert merged[:, 0].tolist() == [[0, 1, 0], [0.5, 0.75, 0]]


def loss_of(model, boxes, index, pixels, classes=1):
    box_loss = BoxLoss(model, boxes, Accelerator(cpu=True), classes)
    with box_loss.record() as found:
        model(pixel_values=pixels)
    return box_loss.compute(found, torch.as_tensor(index), ASIS[: len(index)])


@pytest.mark.parametrize("family", ["convnext", "dinov2", "timm-vit-avg"])
def test_parts_of_a_batch_have_the_gradient_of_the_whole(family, tmp_path):
    model, pixels = make_model(family, tmp_path), images(5)
    corners = np.tile([[-0.8, -0.5, 0.1, 0.6]], (4, 1))
    boxes = Boxes(np.array([10, 11, 11, 14]), np.array([0, 1, 2, 1]), corners)
    gradients = []
    for parts in ([slice(0, 5)], [slice(0, 2), slice(2, 4), slice(4, 5)]):  # the second part has no box
        model.zero_grad()
        for part in parts:
            loss_of(model, boxes, np.arange(10, 15)[part], pixels[part]).backward()
        gradients.append([weight.grad.clone() for weight in model.parameters() if weight.grad is not None])
    assert any(gradient.abs().max() > 0 for gradient in gradients[0][:-2]), "it reaches the body"
    assert all(torch.allclose(*pair, rtol=1e-3, atol=1e-5) for pair in zip(*gradients, strict=True))


def test_of_three_classes_the_map_is_positive_less_negative(tmp_path):
    model, pixels = make_model("convnext", tmp_path), images(1)  # three outputs: the classes of one finding
    boxes = Boxes(np.array([0]), np.array([0]), np.array([[-0.5, -0.5, 0.5, 0.5]]))
    loss_of(model, boxes, [0], pixels, classes=3).backward()
    bias, weight = model.classifier.bias, model.classifier.weight
    assert weight.grad[2].abs().max() == 0
    torch.testing.assert_close(weight.grad[0], -weight.grad[1])
    assert bias.grad.abs().max() < 1e-5


def test_a_head_that_pools_its_map_learns_from_boxes_as_well():
    model, _ = classifiers.build_model("test_efficientnet", FINDINGS, SIDE, pretrained=False, pooling="lse", stages=3)
    pixels, corners = images(2), np.array([[-0.5, -0.5, 0.25, 0.25], [0.0, 0.0, 0.9, 0.9]])
    boxes, optimiser = Boxes(np.array([0, 1]), np.array([0, 1]), corners), torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(30):
        losses.append(loss_of(model.eval(), boxes, [0, 1], pixels))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("family", [next(iter(TOKEN)), next(iter(OTHER))])
def test_a_model_without_an_exact_map_is_refused(family, tmp_path):
    with pytest.raises(ValueError, match="box_weight needs a linear layer at the end, behind a mean|no spatial map"):
        BoxLoss(make_model(family, tmp_path), Boxes(*np.zeros((3, 0))), Accelerator(cpu=True))
    assert {"convnext", "dinov2"} <= {*MEAN, *BOTH}


@pytest.mark.parametrize(
    "kind, backend, reason",
    [
        (DistributedType.FSDP, DynamoBackend.NO, "the whole head, which FSDP shares out"),
        (DistributedType.NO, DynamoBackend.INDUCTOR, "compile leaves out the hooks"),  # asked for by the launcher
    ],
)
def test_a_job_that_cannot_read_the_maps_is_refused(kind, backend, reason, tmp_path):
    job = SimpleNamespace(distributed_type=kind, state=SimpleNamespace(dynamo_plugin=SimpleNamespace(backend=backend)))
    with pytest.raises(ValueError, match=reason):
        BoxLoss(make_model("convnext", tmp_path), Boxes(*np.zeros((3, 0))), job)
