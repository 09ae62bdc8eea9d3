"""Losses for findings that may be unknown, and changes of their targets."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from chestxray.data.label_choices import UNCERTAIN_CLASS
from chestxray.models.adapting import CLASSES

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def choose_loss(
    kind: str, classes: int = 1, label_smoothing: float = 0.0, positive_weights: torch.Tensor | None = None
) -> Loss:
    """A function of (outputs of the model, targets) to their summed loss.

    Args:
        kind: "bce" or "asl"; label_smoothing, positive_weights: see `binary_loss`.
        classes: outputs per finding; 3 asks for `three_class_loss`, which has no other option.
    """
    if classes == CLASSES:
        return three_class_loss
    elementwise = asymmetric if kind == "asl" else cross_entropy
    return lambda logits, targets: binary_loss(logits, targets, elementwise, label_smoothing, positive_weights)


def binary_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    elementwise: Loss,
    label_smoothing: float = 0.0,
    positive_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """The sum of the losses over all known targets.

    Args:
        logits: (n, k) float.
        targets: (n, k) float, 0 to 1; NaN for an unknown finding, which adds nothing.
        elementwise: `cross_entropy` or `asymmetric`.
        label_smoothing: targets move by this share towards 1/2.
        positive_weights: (k,) float factors of the positives' losses, or None.

    Returns:
        A float32 scalar.
    """
    known = ~targets.isnan()
    targets = torch.where(known, targets, 0.5)
    targets = targets * (1 - label_smoothing) + label_smoothing / 2
    losses = elementwise(logits, targets)  # (n, k)
    if positive_weights is not None:
        losses = losses * torch.lerp(torch.ones_like(targets), positive_weights.expand_as(targets), targets)
    return torch.where(known, losses, 0.0).sum()


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of each output, (n, k) float32."""
    return F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")


def asymmetric(logits: torch.Tensor, targets: torch.Tensor, focus: float = 4.0, margin: float = 0.05) -> torch.Tensor:
    """ASL of each output, (n, k) float32: https://arxiv.org/abs/2009.14119, equations 4 to 7.

    γ- = 4, γ+ = 0 and m = 0.05 are the authors'. A target between 0 and 1 weighs the two branches.
    """
    probability = logits.float().sigmoid()
    shifted = (probability - margin).clamp(min=0)
    positive = -F.logsigmoid(logits.float())
    negative = -(shifted**focus) * torch.log1p(-shifted)
    return targets * positive + (1 - targets) * negative


def three_class_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The summed cross-entropy of negative, positive and uncertain (U-MultiClass, Irvin et al. 2019, section 3).

    Args:
        outputs: (n, 3 k) float, the classes of a finding side by side.
        targets: (n, k) float: 0 to 1, `label_choices.UNCERTAIN_CLASS`, or NaN for unknown.

    Returns:
        A float32 scalar.
    """
    outputs = outputs.unflatten(1, (-1, CLASSES))  # (n, k, 3)
    uncertain = (targets == UNCERTAIN_CLASS).float()
    known, sure = ~targets.isnan(), torch.where(targets <= 1, targets, 0.0)
    classes = torch.stack([(1 - sure) * (1 - uncertain), sure, uncertain], 2)
    elementwise = -(classes * F.log_softmax(outputs.float(), 2)).sum(2)
    return torch.where(known, elementwise, 0.0).sum()


def balancing_weights(targets: np.ndarray) -> torch.Tensor:
    """Negatives / positives of each finding, (k,) float32; 1 if there are none of either. targets: (n, k) float."""
    known = torch.as_tensor(targets)
    positives, negatives = (known > 0.5).sum(0), (known <= 0.5).sum(0)
    return torch.where((positives > 0) & (negatives > 0), negatives / positives.clamp(min=1), 1.0).float()


def constant_outputs(
    targets: np.ndarray, classes: int = 1, label_smoothing: float = 0.0, positive_weights: torch.Tensor | None = None
) -> torch.Tensor:
    """The outputs with the smallest cross-entropy, if every image got the same ones: log odds of the prevalences.

    Half an image is added to every class of a finding, so that one without a positive has finite outputs
    (Krichevsky and Trofimov 1981).

    Args:
        targets: (n, k) float, as the loss takes them.
        classes, label_smoothing, positive_weights: see `choose_loss`.

    Returns:
        (classes * k,) float32.
    """
    wanted = torch.as_tensor(targets, dtype=torch.float64)
    if classes == CLASSES:
        known, uncertain = (~wanted.isnan()).sum(0), wanted == UNCERTAIN_CLASS
        positives, unsure = torch.where(uncertain, 0.0, wanted).nansum(0), uncertain.sum(0)
        counts = torch.stack([known - positives - unsure, positives, unsure], 1) + 0.5  # (k, 3)
        return (counts / counts.sum(1, keepdim=True)).log().flatten().float()
    wanted = wanted * (1 - label_smoothing) + label_smoothing / 2
    factors = 1 + wanted * (0 if positive_weights is None else positive_weights.cpu() - 1)
    return ((factors * wanted).nansum(0) + 0.5).div(factors.nansum(0) + 1).logit().float()


def mix(images: torch.Tensor, targets: torch.Tensor, alpha: float) -> tuple[torch.Tensor, torch.Tensor]:
    """mixup, https://arxiv.org/abs/1710.09412: each image with the one at the other end of the batch.

    A target that is unknown for one of the two is unknown for both. One number is drawn from torch's CPU generator.
    """
    concentration = torch.tensor(float(alpha))
    share = torch.distributions.Beta(concentration, concentration).sample().item()
    return torch.lerp(images.flip(0), images, share), torch.lerp(targets.flip(0), targets, share)
