"""The datasets of a run: opened, checked against each other, and their images as the run reads them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from accelerate import Accelerator
from datasets import DatasetDict
from transformers import CLIPImageProcessor

from chestxray.data import exposure, labels, opening, sources
from chestxray.data.opening import OpenDataset
from chestxray.files import digest
from chestxray.images import splits, streaming
from chestxray.images.boxes import Boxes, read_training_boxes
from chestxray.images.splits import Split
from chestxray.models.processors import sides
from chestxray.training.features import concatenate_features
from chestxray.training.settings import Settings


@dataclass
class RunData:
    """What a run trains on and is scored on. The lists have one item per dataset.

    Attributes:
        datasets: as opened.
        names: what each one is called in the results.
        findings: what the model learns, k names.
        parts: {split: Split} with the images; [] before `read_images`.
        digests: {split: digests}, see `Split.digests`; [] before `read_images`.
        boxes: of the training images, None unless the settings have a box_weight.
    """

    datasets: list[OpenDataset]
    names: list[str]
    findings: list[str]
    parts: list[Mapping[str, Split]] = field(default_factory=list)
    digests: list[dict[str, dict[str, str]]] = field(default_factory=list)
    boxes: Boxes | None = None

    def read_images(self, processor: CLIPImageProcessor, settings: Settings, accelerator: Accelerator) -> None:
        """Decode and shrink every image that the cache does not have. Streamed images are read later."""
        side, _ = sides(processor)
        with accelerator.main_process_first():
            self.parts = [
                open_splits(opened, self.findings, side, settings, accelerator.print) for opened in self.datasets
            ]
        self.digests = splits.compute_digests(self.parts, accelerator)
        if self.boxes:  # a run on other boxes is a run on other labels
            train = self.digests[0]["train"]
            train["rows"] = digest(train["rows"], self.boxes.digest())

    def counts(self) -> str:
        """How many images each split of each dataset has, a line per dataset; and how many boxes are learnt from."""
        counts = [", ".join(f"{len(rows):,} {split}" for split, rows in part.items()) for part in self.parts]
        lines = [f"{name}: {text} images" for name, text in zip(self.names, counts, strict=True)]
        if self.boxes:
            lines.append(f"{len(self.boxes):,} boxes in {len(set(self.boxes.images)):,} training images")
        return "\n".join(lines)

    def training_split(self, weights: list[float] | None = None) -> Split:
        """The training images of all datasets. weights: how often images of each are drawn; None: all images alike.

        Raises:
            ValueError: no image has a label for one of the findings.
        """
        parts = [part["train"] for part in self.parts]
        together = splits.concatenate_splits(parts, weights)
        splits.refuse_unlabelled(together, self.findings)
        return concatenate_features(together, parts)


def open_data(settings: Settings, accelerator: Accelerator) -> RunData:
    """Open all datasets of the settings. The first process reads the archives; the others then find them in the cache.

    Raises:
        FileNotFoundError, ValueError: as `opening.open_dataset`, `opening.refuse_leaks`, `opening.refuse_seen` and
            `boxes_to_learn`.
    """
    with accelerator.main_process_first():
        datasets = [opening.open_dataset(source, settings) for source in settings.dataset or []]
        opening.refuse_leaks(datasets)
        seen = exposure.read(settings.base) if settings.base else None
        opening.refuse_seen(datasets, seen, settings.source)
        held_out = opening.held_out_images(datasets) if settings.box_weight else set()
        datasets = [choose_images(opened, settings.train_images, settings.test) for opened in datasets]
        names = opening.distinct_names(datasets)
        findings = labels.findings(settings.findings, [opened.splits["train"] for opened in datasets])
        boxes = boxes_to_learn(datasets, findings, held_out) if settings.box_weight else None
    return RunData(datasets, names, findings, boxes=boxes)


def boxes_to_learn(datasets: list[OpenDataset], findings: list[str], held_out: set[str]) -> Boxes:
    """The boxes of the training images. held_out: the keys of all images of validation and test, read or not.

    Raises:
        ValueError: there are none; one is outside of its image; the image of one is in validation or test too.
    """
    boxes = read_training_boxes(datasets, findings)
    keys = [key for opened in datasets for key in opened.keys("train").images]
    if scored := sorted({keys[row] for row in boxes.images} & held_out):
        raise ValueError(
            f"{scored[0]} has a box in train, and is in validation or test too ({len(scored):,} such images): "
            "box_weight would learn a box that is to be found there. Take these images out of one of the splits"
        )
    if not len(boxes):
        named = ", ".join(opened.source for opened in datasets)
        raise ValueError(
            f"box_weight needs boxes in train, and no training image of {named} has a box of the model's findings. "
            "NIH's boxes are all on test images: python -m chestxray.data.box_folds divides them by patient"
        )
    return boxes


def choose_images(opened: OpenDataset, train_images: int | None, test: bool) -> OpenDataset:
    """The dataset with so many training images (None: all of them), and without test if it is not to be read."""
    chosen = DatasetDict(opened.splits)
    if train_images:
        chosen["train"] = sources.keep_images(chosen["train"], train_images)
    if not test:
        chosen.pop("test", None)
    return replace(opened, splits=chosen)


def open_splits(
    opened: OpenDataset, findings: list[str], side: int, settings: Settings, tell: Callable[[str], object]
) -> Mapping[str, Split]:
    """The splits of a dataset, from the cache or streamed."""
    if opened.streams is not None:
        return streaming.stream_splits(
            opened.splits,
            opened.streams,
            findings,
            side,
            settings.policy,
            seed=settings.seed,
            equalize=settings.equalize,
            listed=bool(settings.validation_list),
        )
    return splits.make_splits(
        opened.splits,
        findings,
        side,
        settings.policy,
        seed=settings.seed,
        equalize=settings.equalize,
        cache=settings.cache,
        num_proc=settings.num_proc,
        tell=tell,
    )
