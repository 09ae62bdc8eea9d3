"""What is trained on and scored: the rows of a split, their targets and their patients."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash
from accelerate.utils import broadcast_object_list
from datasets import Dataset, concatenate_datasets

from chestxray.data import labels, sources
from chestxray.files import digest
from chestxray.images import batches, pixels
from chestxray.machine import cores


@dataclass
class Split:
    """One split of one dataset, or of several as one.

    Attributes:
        rows: with `image_file_path`, and `pixels` as bytes or, without the cache, `image`.
        targets: (rows, findings) float32, 0 to 1, NaN where unknown.
        patients: one string per row.
        size: side of the pixels; equalize: whether images not yet shrunk are to be equalised.
        weights: (rows,) how often each is drawn, or None.
    """

    rows: Dataset
    targets: np.ndarray
    patients: list
    size: int
    equalize: bool = False
    weights: np.ndarray | None = None

    def __len__(self):
        return len(self.rows)

    def batches(self):
        return batches.Batches(self.rows, self.targets, self.size, self.equalize)

    def training_loader(self, order, workers=0, pin_memory=False):
        return batches.training_loader(self.batches(), order, workers, pin_memory)

    def evaluation_loader(self, size, process=0, processes=1, workers=0):
        return batches.evaluation_loader(self.batches(), size, process, processes, workers)

    def digest(self):
        """What tells this split from another: {"rows": of paths, patients and targets, "pixels" or "files": of images}.

        `pixels`, with their side, are the shrunk bytes of the cache, `files` what lies on the disk; streamed images
        are not looked at.
        """
        names = ("\n".join(texts) for texts in (self.rows["image_file_path"], self.patients))
        return {
            "rows": digest(*names, np.ascontiguousarray(self.targets).tobytes()),
            **digest_images(self.rows, self.size, self.equalize),
        }

    def names(self, index):
        """`image_file_path` of the rows at these positions."""
        return self.rows.select_columns("image_file_path")[list(index)]["image_file_path"]


def digests_of(parts, accelerator):
    """[{split: `Split.digest`}] of [{split: Split}], computed by the first process for all of them."""
    computed = accelerator.is_main_process and [{name: rows.digest() for name, rows in part.items()} for part in parts]
    return broadcast_object_list([computed])[0]


def digest_images(rows, size, equalize):
    """{what: digest} of the images of a split, {} where it has none."""
    images = xxhash.xxh3_128()  # 5.6 GB for NIH at 224 pixels: a cryptographic digest would take longer than the disk
    if "pixels" in rows.column_names:
        for batch in rows.select_columns("pixels").with_format("arrow").iter(1000):
            for image in batch["pixels"]:
                images.update(image.as_buffer())
        return {f"pixels {size}{' equalized' if equalize else ''}": images.hexdigest()}
    if "image" in rows.column_names:
        for row in pixels.encoded(rows.select_columns("image")):
            images.update(row["image"]["bytes"] or Path(row["image"]["path"]).read_bytes())
        return {"files": images.hexdigest()}
    return {}


def make(dataset, findings, size, settings, tell=print):
    """The splits of a DatasetDict as a dict of `Split`, every image decoded and shrunk where it is not yet."""
    policy = labels.Policy.parse(settings.uncertain, settings.blank, settings.teacher)
    names, made = [name for name in sources.SPLITS if name in dataset], {}
    if settings.cache:
        pixels.make_room([dataset[name] for name in names], size, settings.equalize, tell)
    for name in names:
        rows = dataset[name]
        targets = labels.targets(rows, findings, policy, training=name == "train", seed=settings.seed)
        patients = sources.patients(rows)
        if settings.cache:
            rows = pixels.shrink(rows, size, settings.equalize, settings.num_proc or cores())
        made[name] = Split(rows, targets, patients, size, settings.equalize)
    return made


def refuse_unlabelled(split, findings):
    """Raise ValueError where no image of a split says anything of a finding, which could then not be learnt."""
    if unlabelled := [name for name, known in zip(findings, ~np.isnan(split.targets).all(0), strict=True) if not known]:
        raise ValueError(
            f"no training image is labelled for {', '.join(unlabelled)}: choose other --findings, or another policy "
            "for uncertain labels"
        )


def joined(parts, weights=None):
    """Several splits as one. weights: how often images of each are drawn, or None for all images alike."""
    if len(parts) == 1 and not weights:
        return parts[0]
    columns = ["image_file_path", "pixels" if "pixels" in parts[0].rows.column_names else "image"]
    return Split(
        concatenate_datasets([part.rows.select_columns(columns) for part in parts]),
        np.concatenate([part.targets for part in parts]),
        [patient for part in parts for patient in part.patients],
        parts[0].size,
        parts[0].equalize,
        weights and np.concatenate([np.full(len(part), w / len(part)) for part, w in zip(parts, weights, strict=True)]),
    )
