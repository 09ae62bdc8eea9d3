"""The predictions files for a score report: one for each checkpoint on each dataset."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from chestxray.data import opening, predictions
from chestxray.data.table_files import is_prediction_table
from chestxray.models.classifiers import findings_of
from chestxray.places import folder_names
from chestxray.reporting.predictor import Predictor
from chestxray.reporting.score_options import ScoreOptions, is_file_of_scores, is_predictions_file
from chestxray.scoring import dataset_predictions, describing, feature_statistics


class PredictedDataset(NamedTuple):
    """A predictions file of each model, that of the rival or None, and the folder of the report."""

    files: list[Path]
    rival: Path | None
    folder: Path


def predict_datasets(options: ScoreOptions) -> list[PredictedDataset]:
    """Predictions of all models on each dataset that has the split, made by all processes together.

    Raises:
        ValueError: the models cannot be scored together; no dataset has the split, or a dataset that was asked for does
            not have it; and as `Predictor.open` and `Predictor.predict`.
    """
    predictor, first = Predictor(options), options.checkpoints[0]
    home = predictor.settings_of(first).dataset or []
    sources = options.dataset or home
    if not sources:
        raise ValueError(f"{first} has no settings.yaml that names its dataset: give --dataset")
    refuse_mixture(options, several=len(sources) > 1)
    opened = open_datasets(predictor, options, sources)

    # A dataset that is one of several has a folder of its own, also where it is scored alone beside the checkpoint
    has_own_folder = len(sources) > 1 or len(home) > 1 and not options.output_dir
    names = dict(zip(sources, folder_names(sources), strict=True))
    predicted = [
        predict_dataset(predictor, options, dataset, options.output / (names[source] if has_own_folder else ""))
        for source, dataset in opened.items()
    ]
    if describes_training(options):
        describe_training(predictor, first, list(opened.values()))
    dataset_predictions.stop()
    return predicted


def describes_training(options: ScoreOptions) -> bool:
    """Whether a model is scored as it was trained, on all its datasets."""
    asked = (options.dataset, options.views, options.labeler, options.equalize)
    return options.models == options.checkpoints[:1] and options.split == "test" and asked == (None,) * len(asked)


def describe_training(predictor: Predictor, checkpoint: str, datasets: Sequence[opening.OpenDataset]) -> None:
    """Write feature_statistics.npz into a checkpoint's folder, unless the one of these weights is there."""
    options = predictor.options
    with suppress(ValueError):  # a damaged file is written again
        if feature_statistics.find(checkpoint, options.tta):
            return
    found = describing.describe_training(
        predictor.accelerator,
        checkpoint,
        datasets,
        predictor.settings_of(checkpoint),
        tta=options.tta,
        batch_size=options.batch_size,
    )
    if found is None:
        predictor.accelerator.print(f"No {feature_statistics.NAME}: {describing.REASONS}")
    elif predictor.accelerator.is_main_process:
        feature_statistics.save(found, Path(checkpoint))


def open_datasets(
    predictor: Predictor, options: ScoreOptions, sources: Sequence[str]
) -> dict[str, opening.OpenDataset]:
    """{source: dataset}, without those that lack the split, if nobody asked for them by name."""
    opened = {}
    for source in sources:
        try:
            opened[source] = predictor.open(source, options.checkpoints, options.rival_checkpoints)
        except opening.NoSplit as error:
            if options.dataset or len(sources) == 1:
                raise
            predictor.accelerator.print(f"Not scored: {error}")
    if not opened:
        raise ValueError(f"none of the datasets has a split {options.split}: give another --split")
    return opened


def predict_dataset(
    predictor: Predictor, options: ScoreOptions, dataset: opening.OpenDataset, folder: Path
) -> PredictedDataset:
    """Predictions of all models on one dataset. The first checkpoint decides which images and labels."""
    first = predictor.settings_of(options.checkpoints[0])

    def predictions_file(model: str, name: str, with_validation: bool = True) -> Path:
        if is_file_of_scores(model):
            return Path(model)
        settings = replace(predictor.settings_of(model), views=first.views, labeler=first.labeler)
        predictor.predict(model, dataset, folder / name, settings, with_validation)
        return folder / name

    numbers = [f"-{number}" for number in range(1, len(options.models) + 1)] if len(options.models) > 1 else [""]
    files = [
        predictions_file(model, f"predictions{number}.parquet")
        for model, number in zip(options.models, numbers, strict=True)
    ]
    rival = predictions_file(options.against, "against.parquet", with_validation=False) if options.against else None
    return PredictedDataset(files, rival, folder)


def refuse_mixture(options: ScoreOptions, several: bool) -> None:
    """Raise ValueError for models that cannot be scored together, before any of them is.

    several: whether there are several datasets. A predictions file is of one dataset.
    """
    models = [*options.models, *filter(None, [options.against])]
    if several and any(map(is_file_of_scores, models)):
        raise ValueError("a predictions file is of one dataset: give checkpoints alone, or one --dataset")
    findings = {
        model: predictions.read(Path(model)).findings if is_predictions_file(model) else findings_of(model)
        for model in models
        if not is_prediction_table(model)  # it is joined with the first model's findings later
    }
    for model, names in findings.items():
        if names != findings[models[0]]:
            raise ValueError(f"{model} has the findings {names}, {models[0]} has {findings[models[0]]}")
