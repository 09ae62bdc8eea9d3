"""The card of a published repository: the repository's own text for the whole release, a template for any part."""

import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets import Features
from huggingface_hub import DatasetCard, DatasetCardData
from markupsafe import Markup

from chestxray.data.archive import Archive
from chestxray.data.descriptor import SYNTHETIC_MARK as MARK
from chestxray.data.nih import builder_file
from chestxray.data.sources import patient
from chestxray.files import write
from chestxray.publishing.front_matter import front_matter, group_by_config
from chestxray.publishing.shards import Shard
from chestxray.publishing.subset import Draw
from chestxray.publishing.usage import file_size, megabytes, usage_text
from chestxray.reporting.markdown_text import escape_values
from chestxray.reporting.tables import Table
from chestxray.repository import clone_path

TEMPLATES = Path(__file__).with_name("templates")
FIGURES = "data/figures"


def write_card(
    out: Path,
    shards: Sequence[Shard],
    features: Mapping[str, Features],
    source: Archive,
    splits: Mapping[str, Sequence[str]],
    description: str,
    draw: Draw | None = None,
    repository: str | None = None,
) -> list[str]:
    """Write README.md, and what belongs to it: the figures of the whole release, the mark of synthetic images.

    Args:
        features: {columns' config: its features}.
        source: the archive that was published; splits: {split: names} as published.
        description: the builder's, one sentence.
        draw: how the patients were chosen; None for the official split.
        repository: its id on the Hub, for the examples; None if that is not known.

    Returns:
        The files written, as paths below `out`.
    """
    synthetic = description.startswith("Synthetic")
    own = DatasetCard.load(clone_path("README.md"))
    matter = front_matter(out, shards, features)
    every_card = {"usage": usage_text(out, shards, repository), "files_table": files_table(out, shards)}
    if not draw and not synthetic and len(source.places) == len(source.records):
        card = whole_release_card(own, matter, **every_card)
        extra = copy_figures(out)
    else:
        data = part_data(own.data.to_dict(), matter, synthetic, card_title(synthetic, draw))
        values = part_values(source, splits, description, draw) | {"synthetic": synthetic}
        values |= {"has_metadata": shards[0].form == "parquet", **every_card}
        card = from_template("dataset_card.md", data, **values)
        extra = write_mark(out, description) if synthetic else []
    write(out / "README.md", f"{card.content.rstrip()}\n")
    return ["README.md", *extra]


def from_template(name: str, data: DatasetCardData, **values) -> DatasetCard:
    return DatasetCard.from_template(data, template_path=str(TEMPLATES / name), **escape_values(values))


# The whole release


def whole_release_card(own: DatasetCard, matter: Mapping, **every_card: Markup) -> DatasetCard:
    """The repository's own card with the front matter of what is published, and what every published card has."""
    data = DatasetCardData(**{**own.data.to_dict(), **matter})
    start, heading, rest = hub_text(own.text).strip().partition("\n## ")
    return from_template("whole_release.md", data, start=Markup(start), rest=Markup(heading + rest), **every_card)


def hub_text(text: str) -> str:
    """The repository's text for a place without its files: links to them become plain words, marked parts are removed.

    >>> hub_text("[scripts](recipes/README.md), ![bars](data/figures/a.svg), [NIH](https://nih.gov)")
    'scripts, ![bars](data/figures/a.svg), [NIH](https://nih.gov)'
    """
    text = re.sub(r"<!-- only here -->.*?<!-- /only here -->\s*", "", text, flags=re.DOTALL)
    return re.sub(r"(?<!!)\[([^\]]*)\]\((?!https?:|#|data/figures/)[^)]*\)", r"\1", text)


def copy_figures(out: Path) -> list[str]:
    """Copy the card's figures; returns their paths below `out`."""
    figures = clone_path(FIGURES)
    shutil.copytree(figures, out / FIGURES, dirs_exist_ok=True)
    return [f"{FIGURES}/{figure.relative_to(figures).as_posix()}" for figure in figures.rglob("*.*")]


# A part of it, or synthetic images


def part_data(own: Mapping, matter: Mapping, synthetic: bool, title: str) -> DatasetCardData:
    """The front matter of a part; synthetic images have neither NIH's licence nor its tags."""
    if synthetic:
        own = {"license": "apache-2.0", "task_categories": own["task_categories"], "tags": ["synthetic-data"]}
    return DatasetCardData(**{**own, "pretty_name": title, **matter})


def card_title(synthetic: bool, draw: Draw | None) -> str:
    if draw:
        return f"{'Synthetic chest X-rays' if synthetic else 'NIH ChestX-ray14'}, {draw.patients:,} patients"
    return "Synthetic chest X-rays" if synthetic else "NIH ChestX-ray14, part of the release"


def part_values(
    source: Archive, splits: Mapping[str, Sequence[str]], description: str, draw: Draw | None
) -> dict[str, object]:
    """The values for templates/dataset_card.md. Every number is counted here."""
    names = [name for part in splits.values() for name in part]
    missing = sum(name not in source.places for name in names)
    official = set(source.splits.get("test", ()))
    return {
        "title": card_title(description.startswith("Synthetic"), draw),
        "description": description,
        "n_missing": f"{missing:,}" if missing else "",
        "n_images": f"{len(names):,}",
        "subset": {"patients": f"{draw.patients:,}", "seed": draw.seed} if draw else None,
        "splits": {
            split: {"images": f"{len(part):,}", "official": f"{len(official.intersection(part)):,}"}
            for split, part in splits.items()
        },
        "splits_table": splits_table(source, splits),
        "labels_table": labels_table(source, splits),
        "citation": Markup(builder_file.CITATION.strip()),
    }


def splits_table(source: Archive, splits: Mapping[str, Sequence[str]]) -> Markup:
    rows = []
    for split, names in splits.items():
        present = sum(name in source.places for name in names)
        rows.append([split, f"{len(set(map(patient, names))):,}", f"{len(names):,}", f"{present:,}"])
    return Table(["split", "patients", "images", "in this repository"], rows).markdown()


def labels_table(source: Archive, splits: Mapping[str, Sequence[str]]) -> Markup:
    """How many images that are in this repository have each label."""
    counts: dict[str, Counter] = {split: Counter() for split in splits}
    for split, names in splits.items():
        counts[split].update(
            label for name in names if name in source.places for label in source.records[name][0]["labels"]
        )
    rows = [
        [name, *(f"{counts[split][label]:,}" for split in splits)] for label, name in enumerate(builder_file.LABELS)
    ]
    return Table(["label", *splits], rows).markdown()


def write_mark(out: Path, description: str) -> list[str]:
    """Write the file that marks images as synthetic; returns its path below `out`."""
    write(out / MARK, f"{description}\n")
    return [MARK]


# Every card


def files_table(out: Path, shards: Sequence[Shard]) -> Markup:
    """What lies in the repository, by config and split."""
    rows = []
    for config, splits in group_by_config(shards).items():
        for split, parts in splits.items():
            size = sum(file_size(out, shard) for shard in parts)
            images = sum(len(shard.images) for shard in parts)
            rows.append([Markup(f"`{config}`"), split, f"{images:,}", str(len(parts)), megabytes(size)])
    return Table(["folder", "split", "rows", "files", "MB"], rows).markdown()
