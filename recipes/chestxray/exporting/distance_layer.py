"""The distance of a picture to the training images as a part of a graph; see `scoring.feature_statistics`."""

from collections.abc import Mapping

import torch
from torch import nn

from chestxray.models.described import COPY, standardise_greys
from chestxray.scoring.feature_statistics import PARTS, Reference

WHITENER = "whitener"  # how the names of its matrices end


class DistanceLayer(nn.Module):
    """The larger of two Mahalanobis distances, in units of the limit, in float32."""

    pooling: torch.Tensor

    def __init__(self, references: Mapping[str, Reference], side: int):
        """side: of the images, pixels."""
        super().__init__()
        for part in PARTS:
            one = references[part]
            self.register_buffer(f"{part}_mean", torch.from_numpy(one.mean))
            self.register_buffer(f"{part}_{WHITENER}", torch.from_numpy(one.whitener) / one.limit)
        self.register_buffer("pooling", pooling_matrix(side))

    def forward(self, features: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """(n, d) features of the head and (n, 3, side, side) images as the model sees them to (n,)."""
        greys = (self.pooling @ images[:, 0] @ self.pooling.T).flatten(1)
        described = {"features": features.float(), "copy": standardise_greys(greys)}
        return torch.stack([self._distance(part, described[part]) for part in PARTS]).amax(0)

    def _distance(self, part, described):
        whitened = (described - getattr(self, f"{part}_mean")) @ getattr(self, f"{part}_{WHITENER}")
        return torch.linalg.vector_norm(whitened, dim=1)


def pooling_matrix(side: int) -> torch.Tensor:
    """(COPY, side) float32, of which the product with an image is `adaptive_avg_pool2d` along one axis.

    That function itself cannot be exported for a side that is no multiple of COPY.

    >>> pooling_matrix(12)[0].tolist()[:3], pooling_matrix(12)[1].tolist()[:4]
    ([0.5, 0.5, 0.0], [0.0, 0.5, 0.5, 0.0])
    """
    return nn.functional.adaptive_avg_pool1d(torch.eye(side), COPY).T.contiguous()
