"""What a score report is made of and how: the flags of score.py as values, with their defaults."""

from dataclasses import dataclass
from pathlib import Path

from chestxray.scoring.prediction_options import PredictionOptions


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(PredictionOptions):
    """What to score: one model, or several as an ensemble, on each of the datasets.

    Attributes:
        models: folders of checkpoints, or predictions files.
        dataset: folders or Hub ids; None for the datasets that the first checkpoint was trained on.
        output_dir: None for `score` in the checkpoint's folder, or the folder of the predictions file.
        against: another model, for the paired test.
        level: one of `levels.LEVELS`; rule: one of `thresholds.RULES`; sensitivity: see `scorecard.make`.
    """

    models: list[str]
    dataset: list[str] | None = None
    output_dir: str | None = None
    against: str | None = None
    level: str = "image"
    rule: str = "youden"
    sensitivity: float = 0.9

    def __post_init__(self):
        """Raise ValueError for options that do not go together."""
        if self.split == "validation":
            raise ValueError("thresholds and calibration are fitted on validation: score another split")
        if len(self.models) == 1:
            return
        if not self.output_dir:
            raise ValueError("several models need --output-dir, for the ensemble's own predictions")
        if (Path(self.output_dir) / "predictions.parquet").resolve() in [Path(name).resolve() for name in self.models]:
            raise ValueError(f"the ensemble would overwrite {self.output_dir}/predictions.parquet, one of its members")

    @property
    def checkpoints(self) -> list[str]:
        """The models that are no predictions files."""
        return [model for model in self.models if not is_predictions_file(model)]

    @property
    def rival_checkpoints(self) -> list[str]:
        """The model to compare with, where it is no predictions file, as a list of one or none."""
        return [self.against] if self.against and not is_predictions_file(self.against) else []

    @property
    def output(self) -> Path:
        """The folder for everything that is written, the predictions included."""
        first = Path(self.models[0])
        if self.output_dir:
            return Path(self.output_dir)
        return first.parent if is_predictions_file(first) else first / "score"


def is_predictions_file(model: str | Path) -> bool:
    return str(model).endswith(".parquet")
