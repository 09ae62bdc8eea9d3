"""How to load a published repository and how to find images in it: the part that every card has."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from chestxray.publishing import front_matter
from chestxray.publishing.shards import Shard
from chestxray.reporting.tables import Table

TEMPLATES = Path(__file__).with_name("templates")
ANY = "YOUR_NAME/YOUR_DATASET"  # as README.md says it, where no repository is named yet
HUB = "https://huggingface.co/datasets"
FIND = """\
SELECT image_file_path, patient_age, labels
FROM 'hf://datasets/{repository}/metadata/{split}-*.parquet'
WHERE Effusion AND NOT Infiltration AND view_position = 0
ORDER BY patient_age DESC, image_file_path
LIMIT 5"""
COUNT = """\
SELECT view_position, count(*) AS images, count(*) FILTER (WHERE Effusion) AS effusion
FROM 'hf://datasets/{repository}/metadata/*.parquet'
GROUP BY view_position
ORDER BY view_position"""


def usage_text(out: Path, shards: Sequence[Shard], repository: str | None) -> Markup:
    """Markdown from "## Load it" on.

    Args:
        repository: its id on the Hub; None if that is not known.
    """
    folders = front_matter.group_by_config(shards)
    sizes = {folder: sum(file_size(out, shard) for part in parts.values() for shard in part)
             for folder, parts in folders.items()}  # fmt: skip
    ordered = sorted(folders, key=lambda folder: (sizes[folder], folder))
    names = {name: folder for folder in ordered for name in front_matter.config_names(first_shard(folders[folder]))}
    split, repository = next(iter(folders[shards[0].config])), repository or ANY
    to_train = [folder for folder in ordered if folder not in ("metadata", "thumbnails", "object-detection")]
    values = {
        "configs": list(names),
        "configs_table": configs_table(names, folders, sizes),
        "smallest": next(iter(names)),
        "smallest_to_train": front_matter.config_names(first_shard(folders[to_train[0]]))[-1] if to_train else None,
        "default": front_matter.default_config(shards),
        "split": split,
        "repository": repository,
        "page": f"{HUB}/{repository}",
        "has_metadata": "metadata" in folders,
        "has_thumbnails": "thumbnails" in folders,
        "find": FIND.format(repository=repository, split=split),
        "count": COUNT.format(repository=repository),
    }
    environment = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=False)
    return Markup(environment.get_template("usage.md").render(values).strip())


def file_size(out: Path, shard: Shard) -> int:
    return (out / shard.file).stat().st_size


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}" if size > 5e4 else "under 0.1"


def configs_table(names: Mapping[str, str], folders: Mapping, sizes: Mapping[str, int]) -> Markup:
    """What each config holds. names: {config: its folder}."""
    rows = []
    for name, folder in names.items():
        images = sum(len(shard.images) for part in folders[folder].values() for shard in part)
        what = description(name, first_shard(folders[folder]))
        rows.append([Markup(f"`{name}`"), what, f"{images:,}", megabytes(sizes[folder])])
    return Table(["config", "what it holds", "rows", "MB"], rows).markdown()


def first_shard(splits: Mapping[str, Sequence[Shard]]) -> Shard:
    return next(iter(splits.values()))[0]


def description(name: str, shard: Shard) -> str:
    if name == "metadata":
        return "the table, without images; one column per label"
    if name == "thumbnails":
        return f"JPEG, {shard.size} × {shard.size}, with all columns of metadata; to look through, not to train on"
    if name == "object-detection":
        return "the archive's own PNGs that have boxes, in the form of COCO"
    if shard.form != "parquet":
        return f"grey PNG, {shard.size} × {shard.size}, and JSON" if shard.size else "the archive's own PNGs, and JSON"
    if not front_matter.is_narrow(name, shard):
        return "the same PNGs, with the table"
    what = f"grey PNG, {shard.size} × {shard.size}" if shard.size else "the archive's own PNGs"
    return f"{what}, with their paths and labels"
