"""The card of a published repository: what the Hub and `datasets` read on top of it, and the text below."""

import re
import shutil
from collections import Counter
from pathlib import Path

import yaml
from datasets import Features

from chestxray.data.datasets_internals import features_to_yaml
from chestxray.data.descriptor import SYNTHETIC_MARK as MARK
from chestxray.data.sources import patient
from chestxray.publishing import parquet
from chestxray.repository import clone_path

DEFAULT = "image-classification"
COLUMNS = ["image_file_path", "image", "labels"]  # of the default config
FILES = {"parquet": ".parquet", "webdataset": ".tar"}
DESCRIPTION = (
    "Frontal chest X-rays from NIH ChestX-ray14 (Wang et al., CVPR 2017, https://nihcc.app.box.com/v/ChestXray-NIHCC), "
    "labelled with 14 findings that were mined from the radiology reports."
)
SIZE_CATEGORIES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def front_matter(out, shards, features):
    """`configs`, `dataset_info` and `size_categories` of the shards in `out`, from the files' own footers.

    Args:
        features: {columns' config: datasets.Features}.
    """
    configs, infos = [], []
    for config, splits in by_config(shards).items():
        first = next(iter(splits.values()))[0]
        for name in [DEFAULT, config] if config == "full" else [config]:
            chosen = COLUMNS if name == DEFAULT else list(features[first.columns])
            configs.append(loading(name, splits, COLUMNS if name != config else None))
            if first.form == "parquet":
                narrow = Features({column: features[first.columns][column] for column in chosen})
                infos.append(information(out, name, splits, narrow))
    images = sum(len(shard.images) for shard in shards if shard.config == shards[0].config)
    category = next((name for most, name in SIZE_CATEGORIES if images < most), "n>1M")
    return {"size_categories": [category], "configs": configs} | ({"dataset_info": infos} if infos else {})


def loading(name, splits, columns=None):
    """One entry of `configs`; `columns` chooses among those of the files where several configs share them."""
    data_files = [
        {"split": split, "path": f"{shards[0].config}/{split}-*{FILES[shards[0].form]}"}
        for split, shards in splits.items()
    ]
    entry = {"config_name": name, "data_files": data_files}
    if columns:
        entry["columns"] = columns
    return entry | ({"default": True} if name == DEFAULT else {})


def information(out, name, splits, features):
    """One entry of `dataset_info`, with which `datasets` and the viewer need not open the files to describe them."""
    counted, download = [], 0
    for split, shards in splits.items():
        files = [Path(out) / shard.file for shard in shards]
        rows, size = parquet.measure(files, set(features))
        counted.append({"name": split, "num_bytes": size, "num_examples": rows})
        download += sum(file.stat().st_size for file in files)
    return {
        "config_name": name,
        "features": as_yaml(features),
        "splits": counted,
        "download_size": download,
        "dataset_size": sum(split["num_bytes"] for split in counted),
    }


def as_yaml(features):
    """Features in the card's form, lists as `sequence`, the only word that releases before 4 know for them."""

    def rename(node):
        if isinstance(node, dict):
            return {"sequence" if key == "list" else key: rename(value) for key, value in node.items()}
        return [rename(value) for value in node] if isinstance(node, list) else node

    return rename(features_to_yaml(features))


def by_config(shards):
    """{config: {split: [shards]}}"""
    configs = {}
    for shard in shards:
        configs.setdefault(shard.config, {}).setdefault(shard.split, []).append(shard)
    return configs


def write(out, shards, features, source, splits, description, drawn=None):
    """Write README.md: the repository's own text and figures for the whole release, a generated text for any part.

    Args:
        source: the Archive; splits: {split: names} as published; description: the builder's, one sentence.
        drawn: how the patients were drawn, {"patients": n, "seed": s}; None for the official split.

    Returns:
        The files written, as paths below `out`.
    """
    written = ["README.md"]
    static, body = read(clone_path("README.md"))
    if body and not drawn and not description.startswith("Synthetic") and len(source.places) == len(source.records):
        figures = clone_path("data/figures")
        shutil.copytree(figures, Path(out, "data", "figures"), dirs_exist_ok=True)
        written += [f"data/figures/{figure.relative_to(figures).as_posix()}" for figure in figures.rglob("*.*")]
        body = elsewhere(body)
    else:
        if description.startswith("Synthetic"):
            static = {"license": "apache-2.0", "task_categories": static["task_categories"], "tags": ["synthetic-data"]}
        static["pretty_name"] = title(description, drawn)
        form = shards[0].form
        text = "\n\n".join(paragraphs(source, splits, description, drawn, form))
        body = f"# {static['pretty_name']}\n\n{text}"
    body = f"{body.rstrip()}\n\n## Files\n\n{table(out, shards)}\n"
    matter = static | front_matter(out, shards, features)
    matter = yaml.safe_dump(matter, sort_keys=False, allow_unicode=True, width=120)
    if description.startswith("Synthetic"):
        Path(out, MARK).write_text(f"{description}\n", encoding="utf-8")
        written.append(MARK)
    Path(out, "README.md").write_text(f"---\n{matter}---\n\n{body}", encoding="utf-8")
    return written


def elsewhere(body):
    """The repository's text where its files are not: links to them become plain words, what is marked goes.

    >>> elsewhere("[scripts](recipes/README.md), ![bars](data/figures/a.svg), [NIH](https://nih.gov)")
    'scripts, ![bars](data/figures/a.svg), [NIH](https://nih.gov)'
    """
    body = re.sub(r"<!-- only here -->.*?<!-- /only here -->\s*", "", body, flags=re.DOTALL)
    return re.sub(r"(?<!!)\[([^\]]*)\]\((?!https?:|#|data/figures/)[^)]*\)", r"\1", body)


def read(path):
    """A card as (front matter, body); empty where there is none."""
    if not path.exists():
        return {}, ""
    text = path.read_text(encoding="utf-8")
    if not text.startswith("---\n"):
        return {}, text
    matter, _, body = text[4:].partition("\n---\n")
    return yaml.safe_load(matter) or {}, body.lstrip("\n")


def title(description, drawn):
    synthetic = description.startswith("Synthetic")
    name = "Synthetic chest X-rays" if synthetic else "NIH ChestX-ray14, part of the release"
    return f"{name.partition(',')[0]}, {drawn['patients']:,} patients" if drawn else name


def paragraphs(source, splits, description, drawn, form):
    """The text of a card that is not the whole release's, every number of it counted here."""
    yield description if description.startswith("Synthetic") else DESCRIPTION
    names = [name for names in splits.values() for name in names]
    if missing := sum(name not in source.places for name in names):
        rest = " `metadata` has their rows nevertheless." if form == "parquet" else ""
        yield (
            f"**Partial**: {missing:,} of the {len(names):,} images that belong here were not in the archive this was "
            f"made from.{rest}"
        )
    if drawn:
        yield (
            f"{drawn['patients']:,} patients drawn at random with seed {drawn['seed']}, then cut by patient into "
            "train, validation and test, 70, 10 and 20 per cent of the patients. **This is not the official split.**"
        )
        official = set(source.splits.get("test", ()))
        overlap = {split: len(official.intersection(names)) for split, names in splits.items()}
        yield (
            f"**{overlap['train']:,} of its {len(splits['train']):,} training images are in the official test list** "
            f"({overlap['validation']:,} of {len(splits['validation']):,} in validation, {overlap['test']:,} of "
            f"{len(splits['test']):,} in test). A model trained here must not be scored on the official test set."
        )
    lines = ["| split | patients | images | in this repository |", "|---|---|---|---|"]
    for split, names in splits.items():
        patients, here = len(Counter(map(patient, names))), sum(name in source.places for name in names)
        lines.append(f"| {split} | {patients:,} | {len(names):,} | {here:,} |")
    yield "\n".join(lines)


def table(out, shards):
    """What lies in the repository, by config and split."""
    lines = ["| folder | split | rows | files | MB |", "|---|---|---|---|---|"]
    for config, splits in by_config(shards).items():
        for split, parts in splits.items():
            size = sum((Path(out) / shard.file).stat().st_size for shard in parts) / 1e6
            rows = sum(len(shard.images) for shard in parts)
            lines.append(f"| `{config}` | {split} | {rows:,} | {len(parts)} | {size:,.1f} |")
    return "\n".join(lines)
