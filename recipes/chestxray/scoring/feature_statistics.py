"""feature_statistics.npz: what the training images look like to a model, so that other pictures can be told from them.

The file lies beside the weights and may be passed on. It holds means and covariances over at least FEWEST training
images: of the features that the last layer gets, and of copies of 8 × 8 greys. It holds no image, no name and no
patient. The distance is that of Mahalanobis to the mean (Lee et al. 2018, arXiv:1807.03888, with one class). Each
covariance is shrunk by the rule of Ledoit and Wolf 2004 (doi:10.1016/S0047-259X(03)00096-4), as scikit-learn has it, so
it has an inverse with few images too.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chestxray.files import write
from chestxray.models.weights import digest_weights
from chestxray.places import public_name

NAME = "feature_statistics.npz"
PARTS = ("features", "copy")
FEWEST = 30  # training images: a mean of fewer is too near to one of them
RATE = 0.01  # the share of validation images that may be beyond the limit: the false alarms asked for


@dataclass(frozen=True)
class Reference:
    """One description of the training images, of d numbers each.

    Attributes:
        mean: (d,) float32.
        whitener: (d, d) float32, lower triangular: the distance of x is the length of (x - mean) @ whitener.
        limit: the distance that counts as 1.
    """

    mean: np.ndarray
    whitener: np.ndarray
    limit: float

    def distances(self, described: np.ndarray) -> np.ndarray:
        """(n, d) to (n,) float64, in units of the limit."""
        centred = described.astype(np.float64) - self.mean
        return np.linalg.norm(centred @ self.whitener.astype(np.float64), axis=1) / self.limit


@dataclass(frozen=True)
class FeatureStatistics:
    """What tells other pictures from the training images.

    Attributes:
        sha256: of the weights, see `weights.digest_weights`.
        tta: the images are shrunk as for these views, and the middle one is described.
        n_train, n_validation: images that the means and covariances, and the limit, come from.
        rate: the share of validation images beyond the limit that was asked for.
        false_alarms: {dataset: (share beyond the limit, images)} of its test images.
        references: one for each of PARTS.
    """

    sha256: str
    tta: str
    n_train: int
    n_validation: int
    rate: float
    false_alarms: dict[str, tuple[float, int]]
    references: dict[str, Reference]

    def distances(self, described: np.ndarray) -> np.ndarray:
        """See the function of this name."""
        return distances(self.references, described)


def distances(references: Mapping[str, Reference], described: np.ndarray) -> np.ndarray:
    """The larger of the two distances, above 1 beyond the limit: (n,). described: (n, d), features, then the copy."""
    features = len(references["features"].mean)
    parts = {"features": described[:, :features], "copy": described[:, features:]}
    return np.max([one.distances(parts[part]) for part, one in references.items()], axis=0)


def fit(train: np.ndarray, validated: np.ndarray, copy: int, rate: float = RATE) -> dict[str, Reference]:
    """{part: Reference} from the descriptions of training and validation images, (n, d) each.

    Each part has the same share of validation images beyond its limit. Then both limits are widened together, until
    the share beyond either of them is `rate`. With fewer than 1 / `rate` validation images none is beyond.

    Args:
        copy: how many of the d numbers are of the small copy; they are the last ones.
    """
    pieces = {"features": slice(None, -copy), "copy": slice(-copy, None)}
    found = {part: reference(train[:, piece], validated[:, piece], rate) for part, piece in pieces.items()}
    wider = quantile(distances(found, validated), rate)
    return {part: Reference(one.mean, one.whitener, one.limit * wider) for part, one in found.items()}


def reference(train: np.ndarray, validated: np.ndarray, rate: float) -> Reference:
    """Mean, whitener and limit of one part, (n, d) each."""
    from sklearn.covariance import LedoitWolf  # takes a second, which reading the file does not need

    mean, spread = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    spread = np.where(spread > 0, spread, spread.mean() or 1)  # the rule shrinks to a sphere, so all have one scale
    covariance = LedoitWolf(assume_centered=True).fit((train - mean) / spread).covariance_
    covariance += 1e-6 * np.eye(len(mean))  # for numbers that are the same in all training images
    whitener = np.linalg.cholesky(np.linalg.inv(covariance)) / spread[:, None]
    one = Reference(mean.astype(np.float32), whitener.astype(np.float32), 1.0)
    return Reference(one.mean, one.whitener, quantile(one.distances(validated), rate))


def quantile(distances: np.ndarray, rate: float) -> float:
    """The smallest of the distances beyond which at most this share of them lies.

    It is 1 if it would be 0: then a model gives all validation images the same numbers as the training images.
    """
    return float(np.quantile(distances, 1 - rate, method="higher")) or 1.0


# The file


def save(statistics: FeatureStatistics, folder: Path) -> Path:
    """Write feature_statistics.npz into a checkpoint's folder; its path."""
    write(folder / NAME, as_bytes(statistics))
    return folder / NAME


def as_bytes(statistics: FeatureStatistics) -> bytes:
    """The file's content."""
    names = ("sha256", "tta", "n_train", "n_validation", "rate", "false_alarms")
    about: dict = {name: getattr(statistics, name) for name in names}
    about["limits"] = {part: one.limit for part, one in statistics.references.items()}
    arrays: dict[str, Any] = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
    for part, one in statistics.references.items():
        arrays |= {f"{part}_mean": one.mean, f"{part}_whitener": one.whitener}
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def read(path: Path) -> FeatureStatistics:
    """A file as `save` leaves it. What else is in it is left out.

    Raises:
        FileNotFoundError: there is none. ValueError: it is damaged, or no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return statistics_of(json.loads(arrays["about"].tobytes()), arrays)
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile and NumPy raise many kinds of errors about damaged files
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{path} is damaged ({reason}): delete it and run score.py again") from error


def find(checkpoint: str | Path, tta: str) -> FeatureStatistics | None:
    """What score.py left with these weights and these views, None if there is no such file.

    Raises:
        ValueError: it is damaged.
    """
    path = Path(checkpoint) / NAME
    found = read(path) if path.exists() else None
    return found if found and (found.sha256, found.tta) == (digest_weights(checkpoint), tta) else None


def find_or_reason(checkpoint: str | Path, tta: str) -> tuple[FeatureStatistics | None, str]:
    """(as `find`, "") or (None, why there is nothing, and what to run). Raises as `find`."""
    if found := find(checkpoint, tta):
        return found, ""
    path = Path(checkpoint) / NAME
    reason = f"{path} is of other weights or views" if path.exists() else f"{checkpoint} has no {NAME}"
    return None, f"{reason}. Run: python recipes/score.py {checkpoint}"


def statistics_of(about: dict, arrays: Mapping[str, np.ndarray]) -> FeatureStatistics:
    """The parts of the file as values. Raises ValueError, KeyError, TypeError or AttributeError for others."""
    return FeatureStatistics(
        sha256=str(about["sha256"]),
        tta=str(about["tta"]),
        n_train=int(about["n_train"]),
        n_validation=int(about["n_validation"]),
        rate=float(about["rate"]),
        false_alarms={
            public_name(str(name)): (float(share), int(count)) for name, (share, count) in about["false_alarms"].items()
        },
        references={part: reference_of(arrays, part, float(about["limits"][part])) for part in PARTS},
    )


def reference_of(arrays: Mapping[str, np.ndarray], part: str, limit: float) -> Reference:
    """One part of the file. Raises KeyError or ValueError."""
    mean, whitener = (arrays[f"{part}_{name}"].astype(np.float32) for name in ("mean", "whitener"))
    fits = mean.ndim == 1 and whitener.shape == (len(mean), len(mean))
    if not fits or not limit > 0 or not np.isfinite(mean).all() or not np.isfinite(whitener).all():
        raise ValueError(f"its {part} are no numbers of one width")
    return Reference(mean, whitener, limit)
