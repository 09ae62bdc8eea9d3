"""Log-mean-exp pooling: a logit is a soft maximum over the positions of a map, and not their mean.

A finding is in one place, and a mean over all places hides it. So a model that learns by its mean spreads its evidence,
or makes single cells huge. With a soft maximum it learns to see a finding where it is (Pinheiro and Collobert 2015,
arXiv 1411.6228; Wang et al. 2017, arXiv 1705.02315, section 3.2, pool in this way, one layer before).
"""

import math

import torch
from torch import nn

SHARPNESS = 5.0  # r of the papers: 0 is the mean, infinity the maximum. 5 is Pinheiro and Collobert's


class PeakHead(nn.Linear):
    """A linear layer at each position, and the log-mean-exp of what it says there."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) features to (n, k) float32 logits. Raises ValueError for features that are no map."""
        if features.ndim != 4:
            raise ValueError("pooling lse needs a map before the last layer of this timm model: leave pooling out")
        maps = nn.functional.conv2d(features, self.weight[:, :, None, None], self.bias).float()
        return (torch.logsumexp(maps * SHARPNESS, dim=(2, 3)) - math.log(maps[0, 0].numel())) / SHARPNESS
