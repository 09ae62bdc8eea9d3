"""What predicts files, and how files become its pixels."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from chestxray.images.reading import read_pixels
from chestxray.scoring.boxes_of_maps import Places


@dataclass(frozen=True)
class FileReading:
    """How files become pixels.

    Attributes:
        size: side of the pixels; equalize: whether histograms are equalised. Both are the checkpoint's.
        voi, force: of DICOM files, see `dicom.display.read_display`.
    """

    size: int
    equalize: bool
    voi: str
    force: bool

    def pixels(self, file: str, threads: int) -> np.ndarray:
        """(size, size) uint8. threads: that read files at the same time. Raises UnreadableImage."""
        return read_pixels(file, self.size, self.equalize, self.voi, self.force, threads)


class FilePredictor(Protocol):
    """What predicts files: a checkpoint (`checkpoint_predictor`), or an ONNX file (`onnx_run`)."""

    @property
    def columns(self) -> list[str]:
        """What `numbers` are: the k findings, then `file_chunks.DISTANCE` where there are statistics."""
        ...

    @property
    def reading(self) -> FileReading: ...
    def numbers(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size) uint8 to (n, k) float32 logits, or (n, k + 1) with the distance."""
        ...

    @property
    def has_maps(self) -> bool: ...
    @property
    def view(self) -> int:
        """Side of the middle that the model sees, in pixels of the whole image."""
        ...

    @property
    def places(self) -> Places | None:
        """Where the maps' rows and columns look, see `boxes_of_maps.scale`."""
        ...

    def maps(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size) uint8, n > 0, to heatmaps of the view, (n, k, h, w) float32. Only with `has_maps`."""
        ...
