"""The features that a frozen body gives for every image: computed once by all processes, kept beside the run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import CLIPImageProcessor

from chestxray.files import digest
from chestxray.images.batches import Batches
from chestxray.images.splits import Split
from chestxray.models.inference import predict_logits
from chestxray.training.checkpoints import read_facts, read_tensors, write_tensors

ROWS = 512  # images of a file: as many a killed job computes again at most


class Features:
    """Rows of tensors (n, width) float32, one after the other, as the tensors lie in their files: nothing is copied."""

    def __init__(self, parts: Iterable[torch.Tensor] = ()):
        self.parts = list(parts)
        self.ends = np.cumsum([len(part) for part in self.parts])

    def __getitem__(self, rows: Sequence[int]) -> torch.Tensor:
        places = np.searchsorted(self.ends, rows, side="right")  # the part of each row
        return torch.stack([self.parts[part][row - self.ends[part]] for part, row in zip(places, rows, strict=True)])


class FeatureBatches(Batches):
    """As `Batches`, with the features of a frozen body as `pixels`, (n, width) float32."""

    def __init__(self, rows: Dataset, targets: np.ndarray, size: int, features: Features):
        super().__init__(rows, targets, size)
        self.features = features

    def __getitems__(self, draws: list[int]) -> dict[str, torch.Tensor]:
        indices = [draw % len(self) for draw in draws]
        return {
            "index": torch.tensor(indices),
            "draw": torch.tensor(draws),
            "pixels": self.features[indices],
            "targets": torch.from_numpy(self.targets[indices]),
        }


@dataclass
class FeatureSplit(Split):
    """A split with the features of its images."""

    features: Features = field(default_factory=Features)

    def batches(self) -> FeatureBatches:
        return FeatureBatches(self.rows, self.targets, self.size, self.features)


def with_features(split: Split, parts: Iterable[torch.Tensor]) -> FeatureSplit:
    """A split and the features of its rows."""
    own = {each.name: getattr(split, each.name) for each in fields(Split)}
    return FeatureSplit(**own, features=Features(parts))


def concatenate_features(together: Split, parts: Sequence[Split]) -> Split:
    """`together`, which is `concatenate_splits` of these parts, with their features if they have some."""
    tensors = [tensor for part in parts if isinstance(part, FeatureSplit) for tensor in part.features.parts]
    return with_features(together, tensors) if tensors else together


# Files


@dataclass
class Piece:
    """Some rows of a split; their features are one file.

    Attributes:
        key: digest of all that the features depend on.
    """

    path: Path
    key: str
    split: Split
    first: int

    def rows(self) -> Split:
        span = slice(self.first, self.first + ROWS)
        rows = self.split.rows.select(range(*span.indices(len(self.split))))
        return Split(rows, self.split.targets[span], self.split.patients[span], self.split.size, self.split.equalize)

    def is_there(self) -> bool:
        return self.path.exists() and read_facts(self.path)["key"] == self.key


def pieces_of(split: Split, name: str, key: str, folder: Path) -> list[Piece]:
    """The pieces of a split, which is called `name` in the names of their files."""
    return [Piece(folder / f"{name}-{first:07}.safetensors", key, split, first) for first in range(0, len(split), ROWS)]


class FeatureCache:
    """Computes features and keeps them in a folder.

    Args:
        body: as `accelerator.prepare_model` leaves it; its `logits` are features.
        key: digest of the body, and of all else besides the images that features depend on.
        batch_size: images per process and pass.
        workers, channels_last: see `predict_logits`.
    """

    def __init__(
        self,
        folder: Path,
        body: torch.nn.Module,
        key: str,
        processor: CLIPImageProcessor,
        accelerator: Accelerator,
        batch_size: int,
        workers: int = 0,
        channels_last: bool = False,
    ):
        self.folder, self.body, self.key, self.processor = folder, body, key, processor
        self.accelerator, self.batch_size = accelerator, batch_size
        self.workers, self.channels_last = workers, channels_last

    def splits(self, parts: Sequence[Mapping[str, Split]], digests: Sequence[Mapping]) -> list[Mapping[str, Split]]:
        """The same splits with features. Every process must call it.

        parts, digests: as in `RunData`.

        Raises:
            ValueError: a file is damaged.
        """
        pieces = {
            (number, name): pieces_of(split, f"{number}-{name}", self._key_of(digests[number][name]), self.folder)
            for number, part in enumerate(parts)
            for name, split in part.items()
        }
        self._compute([piece for some in pieces.values() for piece in some])
        return [
            {name: with_features(split, self._read(pieces[number, name])) for name, split in part.items()}
            for number, part in enumerate(parts)
        ]

    def _key_of(self, digests):
        return digest(self.key, json.dumps(digests, sort_keys=True))

    def _compute(self, pieces):
        """Write the files that are not there, with one progress bar."""
        main = self.accelerator.is_main_process
        lacking = broadcast_object_list([main and [not piece.is_there() for piece in pieces]])[0]
        passes = [self._passes(piece) for piece in pieces]
        done = sum(count for count, lacks in zip(passes, lacking, strict=True) if not lacks)
        with tqdm(total=sum(passes), initial=done, desc="Features", unit="batch", disable=not main) as progress:
            for piece, lacks in zip(pieces, lacking, strict=True):
                if lacks:
                    self._write(piece, progress)
        self.accelerator.wait_for_everyone()  # until the first one has written the last file

    def _passes(self, piece):
        rows = min(ROWS, len(piece.split) - piece.first)
        return -(-rows // (self.batch_size * self.accelerator.num_processes))

    def _write(self, piece, progress):
        features = predict_logits(
            self.body,
            piece.rows(),
            self.processor,
            self.accelerator,
            self.batch_size,
            workers=self.workers,
            channels_last=self.channels_last,
            progress=progress.update,
        )
        if self.accelerator.is_main_process:
            write_tensors({"features": torch.from_numpy(features)}, piece.path, {"key": piece.key})

    def _read(self, pieces):
        return [read_tensors(piece.path)["features"] for piece in pieces]
