"""Losses for findings that may be unknown, and the targets they are given."""

import torch
import torch.nn.functional as F

from chestxray.data.labels import UNCERTAIN_CLASS


def loss_of(logits, targets, settings, positive_weights=None):
    """The sum of the losses of a part of a batch over its known targets.

    Args:
        logits: (n, k) float.
        targets: (n, k) float, 0 to 1; NaN where a finding is unknown, which then counts nothing.
        settings: `loss`, `label_smoothing` of `Settings`.
        positive_weights: (k,) float factors of the positives' losses, or None.

    Returns:
        A float32 scalar.
    """
    known = ~targets.isnan()
    targets = torch.where(known, targets, 0.5)
    targets = targets * (1 - settings.label_smoothing) + settings.label_smoothing / 2
    elementwise = asymmetric(logits, targets) if settings.loss == "asl" else cross_entropy(logits, targets)
    if positive_weights is not None:
        elementwise = elementwise * torch.lerp(torch.ones_like(targets), positive_weights.expand_as(targets), targets)
    return torch.where(known, elementwise, 0.0).sum()


def cross_entropy(logits, targets):
    return F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")


def asymmetric(logits, targets, focus=4.0, margin=0.05):
    """ASL, https://arxiv.org/abs/2009.14119, equations 4 to 7, with the authors' γ- = 4, γ+ = 0 and m = 0.05.

    Targets between 0 and 1 weigh the two branches.
    """
    probability = logits.float().sigmoid()
    shifted = (probability - margin).clamp(min=0)
    positive = -F.logsigmoid(logits.float())
    negative = -(shifted**focus) * torch.log1p(-shifted)
    return targets * positive + (1 - targets) * negative


def of_classes(outputs, targets):
    """The summed cross-entropy of negative, positive and uncertain (U-MultiClass, Irvin et al. 2019, section 3).

    Args:
        outputs: (n, k, 3) float. targets: (n, k): 0 to 1, `labels.UNCERTAIN_CLASS`, or NaN for unknown.
    """
    uncertain = (targets == UNCERTAIN_CLASS).float()
    known, sure = ~targets.isnan(), torch.where(targets <= 1, targets, 0.0)
    classes = torch.stack([(1 - sure) * (1 - uncertain), sure, uncertain], 2)
    elementwise = -(classes * F.log_softmax(outputs.float(), 2)).sum(2)
    return torch.where(known, elementwise, 0.0).sum()


def weights_of(targets):
    """Negatives / positives of each finding, (k,) float32; 1 where either is lacking. targets: (n, k) array."""
    targets = torch.as_tensor(targets)
    positives, negatives = (targets > 0.5).sum(0), (targets <= 0.5).sum(0)
    return torch.where((positives > 0) & (negatives > 0), negatives / positives.clamp(min=1), 1.0).float()


def mixed(images, targets, alpha):
    """mixup, https://arxiv.org/abs/1710.09412: each image with the one at the other end of the batch.

    What is unknown of either is unknown of both. Draws one number from torch's generator of the CPU.
    """
    concentration = torch.tensor(float(alpha))
    share = torch.distributions.Beta(concentration, concentration).sample().item()
    return torch.lerp(images.flip(0), images, share), torch.lerp(targets.flip(0), targets, share)
