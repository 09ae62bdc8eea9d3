"""What a score report is made of and how: the flags of score.py as values, with their defaults."""

from dataclasses import dataclass
from pathlib import Path

from chestxray.data.table_files import is_prediction_table
from chestxray.scoring.prediction_options import PredictionOptions


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(PredictionOptions):
    """What to score: one model, or several as an ensemble, on each of the datasets.

    Attributes:
        models: folders of checkpoints, predictions files, or tables of predictions from anywhere.
        dataset: folders or Hub ids; None for the datasets that the first checkpoint was trained on.
        output_dir: None for `score` in the checkpoint's folder, the folder of the predictions file, or `NAME-score`
            beside the table NAME.
        against: another model, for the paired test.
        labels: a file of radiologists' labels.
        level: one of `choices.LEVELS`; rule: one of `choices.RULES`; sensitivity: see `scorecard.make`.
    """

    models: list[str]
    dataset: list[str] | None = None
    output_dir: str | None = None
    against: str | None = None
    labels: str | None = None
    level: str = "image"
    rule: str = "youden"
    sensitivity: float = 0.9

    def __post_init__(self):
        """Raise ValueError for options that do not go together."""
        if self.split == "validation":
            raise ValueError("thresholds and calibration are fitted on validation: score another split")
        self.refuse_unfit_tables()
        if len(self.models) == 1:
            return
        if not self.output_dir:
            raise ValueError("several models need --output-dir, for the ensemble's own predictions")
        if (Path(self.output_dir) / "predictions.parquet").resolve() in [Path(name).resolve() for name in self.models]:
            raise ValueError(f"the ensemble would overwrite {self.output_dir}/predictions.parquet, one of its members")

    def refuse_unfit_tables(self) -> None:
        """Raise ValueError for a table of predictions without its one dataset, or beside a checkpoint."""
        if not self.tables:
            return
        file = Path(self.tables[0]).name
        if len(self.dataset or []) != 1:
            raise ValueError(f"{file} has names and scores only: give one --dataset, which has labels and patients")
        if self.checkpoints:
            raise ValueError(
                f"{file} and {self.checkpoints[0]} are no ensemble: score each alone, then give their "
                "predictions.parquet"
            )
        if self.rival_checkpoints:
            raise ValueError(f"give the checkpoint first: score.py {self.against} --against {self.tables[0]}")

    @property
    def tables(self) -> list[str]:
        """The models that are tables of predictions from anywhere."""
        return list(filter(is_prediction_table, self.models))

    @property
    def checkpoints(self) -> list[str]:
        """The models that are folders and no files."""
        return [model for model in self.models if not is_file_of_scores(model)]

    @property
    def rival_checkpoints(self) -> list[str]:
        """The model to compare with, where it is a folder and no file, as a list of one or none."""
        return [self.against] if self.against and not is_file_of_scores(self.against) else []

    @property
    def output(self) -> Path:
        """The folder for everything that is written, the predictions included."""
        first = Path(self.models[0])
        if self.output_dir:
            return Path(self.output_dir)
        if is_prediction_table(first):
            name = first.name.removesuffix(".gz").removesuffix(".csv").removesuffix(".parquet")
            return first.with_name(f"{name}-score")
        return first.parent if is_predictions_file(first) else first / "score"


def is_predictions_file(model: str | Path) -> bool:
    """Whether a model is a predictions file of ours, or is to be one: a file that is not there is taken for one."""
    return str(model).endswith(".parquet") and not is_prediction_table(model)


def is_file_of_scores(model: str | Path) -> bool:
    return is_predictions_file(model) or is_prediction_table(model)
