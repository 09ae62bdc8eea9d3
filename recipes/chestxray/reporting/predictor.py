"""One way for a command to open a dataset and to predict with checkpoints on it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from accelerate import Accelerator

from chestxray.data import opening
from chestxray.scoring import dataset_predictions
from chestxray.scoring.prediction_options import PredictionOptions
from chestxray.training.prediction_settings import prediction_settings
from chestxray.training.settings import Settings


@dataclass(frozen=True)
class Predictor:
    """The options that a person gave, and the processes that predict."""

    options: PredictionOptions
    accelerator: Accelerator = field(default_factory=dataset_predictions.start)

    def settings_of(self, checkpoint: str | Path) -> Settings:
        """The settings to predict with: the checkpoint's own, but the options replace them where they are given."""
        return prediction_settings(
            checkpoint,
            views=self.options.views,
            labeler=self.options.labeler,
            equalize=self.options.equalize,
            allow_missing=self.options.allow_missing,
        )

    def open(self, source: str, models: Sequence[str | Path], rivals: Sequence[str | Path] = ()) -> opening.OpenDataset:
        """A dataset with the split to score; see `opening.open_to_score`. The first process reads it for the others."""
        with self.accelerator.main_process_first():
            return opening.open_to_score(
                source,
                self.options.split,
                self.settings_of(models[0]),
                models,
                rivals,
                leave_out=self.options.seen == "leave-out",
            )

    def predict(
        self,
        checkpoint: str | Path,
        opened: opening.OpenDataset,
        path: Path,
        settings: Settings,
        with_validation: bool = True,
    ) -> None:
        """Write the predictions of the split and of validation to `path`, unless they are there.

        See `dataset_predictions.predict`.
        """
        dataset_predictions.predict(
            self.accelerator,
            checkpoint,
            opened,
            self.options.split,
            path,
            settings,
            with_validation=with_validation,
            tta=self.options.tta,
            batch_size=self.options.batch_size,
        )
