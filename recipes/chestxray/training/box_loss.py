"""A loss on the class activation map beside the one on the labels: the evidence for a finding is to lie in its box."""

from contextlib import AbstractContextManager

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, DynamoBackend
from transformers import PreTrainedModel

from chestxray.images.boxes import Boxes, covered_shares, visible_boxes
from chestxray.models.adapting import CLASSES, merge_classes
from chestxray.models.heatmap_cam import Activations, activation_maps, record_activations
from chestxray.models.heatmap_layers import find_layers, kind


class BoxLoss:
    """The loss of the boxes in a batch, from the class activation maps of the pass that gives the logits.

    Args:
        model: the classifier itself, not as `accelerator.prepare` wraps it.
        boxes: of the training images.
        classes: outputs per finding; of three, the map is that of positive less negative.

    Raises:
        ValueError: the model has no exact class activation map; the job compiles it, or shares out its weights (FSDP).
    """

    def __init__(self, model: PreTrainedModel, boxes: Boxes, accelerator: Accelerator, classes: int = 1):
        if accelerator.distributed_type == DistributedType.FSDP:
            raise ValueError("box_weight reads the whole head, which FSDP shares out: launch it with eight-gpus.yaml")
        if accelerator.state.dynamo_plugin.backend != DynamoBackend.NO:
            raise ValueError("compile leaves out the hooks that read the maps: leave it or box_weight out")
        self.model, self.boxes, self.classes, self.layers = model, boxes, classes, find_layers(model)
        if not self.layers.exact:
            raise ValueError(
                f"box_weight needs a linear layer at the end, behind a mean over positions or with pooling lse, and "
                f"{kind(model)} ends in another way: choose another --model, for a timm ViT --pooling avg, or leave "
                "--box-weight out"
            )

    def record(self) -> AbstractContextManager[Activations]:
        """Within, a forward pass leaves what `compute` needs."""
        return record_activations(self.model, self.layers)

    def compute(self, found: Activations, index: torch.Tensor, matrices: np.ndarray) -> torch.Tensor:
        """The summed loss of all boxes that augmentation left in their images, a float32 scalar.

        Args:
            found: of `record`.
            index: (n,) int64, rows of the training split.
            matrices: (n, 2, 3), see `augment.Changes`.
        """
        boxes = visible_boxes(self.boxes.of_rows(index.numpy()), matrices)
        maps = activation_maps(self.model, self.layers, found)  # (n, k, h, w)
        maps = merge_classes(maps) if self.classes == CLASSES else maps
        shares = covered_shares(boxes, matrices, (maps.shape[2], maps.shape[3]))
        images, findings, targets = merge_boxes(boxes, shares)
        return energy_loss(maps[images, findings], torch.from_numpy(targets).to(maps.device))


def merge_boxes(boxes: Boxes, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Several boxes of one finding in one image as one mask.

    shares: (m, h, w).

    Returns:
        The images (p,), the findings (p,) and the largest shares (p, h, w) of all pairs of image and finding.
    """
    pairs, pair = np.unique(np.stack([boxes.images, boxes.findings], 1), axis=0, return_inverse=True)
    merged = np.zeros((len(pairs), *shares.shape[1:]), np.float32)
    np.maximum.at(merged, pair.reshape(-1), shares)
    return pairs[:, 0], pairs[:, 1], merged


def energy_loss(maps: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """-log of the share of each map's energy that lies in its box, summed over the maps.

    The share is that of the "energy loss" (Rao et al. 2023, arXiv 2303.11932). Here the energy of a
    position is the exponential of the map, not its positive part. Then a map that is negative everywhere has a gradient
    too, and a constant added to a map changes nothing: this loss says where the evidence lies, the labels' loss says
    how much there is. A box has background in it, so its positions need not be alike.

    Args:
        maps: (p, h, w) float32, in units of the logit.
        shares: (p, h, w) float32, 0 to 1, of each position that the box covers, at least one of them above 0. They are
            taken relative to the largest one, so that a box smaller than a position can reach a loss of 0.
    """
    inside = shares / shares.amax((1, 2), keepdim=True)
    energy = maps.flatten(1).log_softmax(1) + inside.flatten(1).log()
    return -energy.logsumexp(1).sum()
