"""The flags of predict.py as values."""

from dataclasses import dataclass
from pathlib import Path

from chestxray.exporting.export_options import ENDING

FORMATS = ("csv", "parquet", "json")  # of the table


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """The flags of predict.py as values, with their defaults.

    Attributes:
        checkpoint: its folder, or an ONNX file of export.py.
        inputs: see `file_lists.list_files`.
        output_dir: None writes nothing; form: one of FORMATS.
        rule: one of `thresholds.RULES`; None is the rule that score.py was asked for.
        voi, force: of DICOM files, see `dicom.display.read_display`.
        batch_size: images per pass of each process.
        heatmaps: whether pictures of the heatmaps are drawn, see `overlays`.
    """

    checkpoint: str
    inputs: list[str]
    output_dir: str | None = None
    form: str = "csv"
    rule: str | None = None
    voi: str = "table"
    force: bool = False
    batch_size: int = 64
    heatmaps: bool = False

    @property
    def is_onnx(self) -> bool:
        return self.checkpoint.endswith(ENDING)

    def refuse_missing(self) -> None:
        """Raise FileNotFoundError for a model or an input that is not there, before anything slow is imported."""
        from chestxray.training.checkpoint_folders import refuse_no_checkpoint  # a Space has no checkpoints

        for path in [self.checkpoint] * self.is_onnx + self.inputs:
            if not Path(path).exists():
                raise FileNotFoundError(f"{path} does not exist")
        if not self.is_onnx:
            refuse_no_checkpoint(self.checkpoint)
