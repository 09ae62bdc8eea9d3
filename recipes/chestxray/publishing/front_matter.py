"""What `datasets` and the Hub's viewer read on top of a published card: which files make up a config, and its sizes."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from datasets import Features

from chestxray.data.datasets_internals import features_to_yaml
from chestxray.publishing import parquet
from chestxray.publishing.shards import FORMATS, Shard

COLUMNS = ["image_file_path", "image", "labels"]  # of image-classification, in every size
SIZE_CATEGORIES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def front_matter(out: str | Path, shards: Sequence[Shard], features: Mapping[str, Features]) -> dict:
    """`size_categories`, `configs` and, of Parquet, `dataset_info` of the shards in `out`, from the files' footers.

    Args:
        features: {columns' config: its features}.
    """
    configs, infos = [], []
    default = default_config(shards)
    for splits in group_by_config(shards).values():
        first = next(iter(splits.values()))[0]
        for name in config_names(first):
            columns = COLUMNS if is_narrow(name, first) else None
            entry = config_entry(name, splits, columns)
            configs.append(entry | ({"default": True} if name == default else {}))
            if first.form == "parquet":
                every = features[first.columns]
                chosen = Features({column: every[column] for column in columns or every})
                infos.append(info_entry(out, name, splits, chosen))
    matter = {"size_categories": [size_category(shards)], "configs": configs}
    return matter | ({"dataset_info": infos} if infos else {})


def default_config(shards: Sequence[Shard]) -> str:
    """The config that `load_dataset` takes if none is named."""
    return config_names(shards[0])[0]


def config_names(shard: Shard) -> list[str]:
    """The configs that read a shard's folder. Parquet of images has two: the builder's names, with the size after them.

    The first has COLUMNS alone, the second has all columns. Both read the same files.
    """
    if shard.form != "parquet" or shard.columns != "full":
        return [shard.config]
    ending = f"-{shard.size}" if shard.size else ""
    return [f"image-classification{ending}", f"full{ending}"]


def is_narrow(name: str, shard: Shard) -> bool:
    """Whether a config that reads a shard's folder has COLUMNS alone."""
    return name != config_names(shard)[-1]


def size_category(shards: Sequence[Shard]) -> str:
    images = sum(len(shard.images) for shard in shards if shard.config == shards[0].config)
    return next((name for most, name in SIZE_CATEGORIES if images < most), "n>1M")


def config_entry(name: str, splits: Mapping[str, Sequence[Shard]], columns: Sequence[str] | None) -> dict:
    """One entry of `configs`; `columns` chooses from the files' columns if several configs share the files."""
    data_files = [
        {"split": split, "path": f"{shards[0].config}/{split}-*{FORMATS[shards[0].form].suffix}"}
        for split, shards in splits.items()
    ]
    return {"config_name": name, "data_files": data_files} | ({"columns": columns} if columns else {})


def info_entry(out: str | Path, name: str, splits: Mapping[str, Sequence[Shard]], features: Features) -> dict:
    """One entry of `dataset_info`: with it `datasets` and the viewer describe the files without opening them."""
    sizes, download = [], 0
    for split, shards in splits.items():
        files = [Path(out) / shard.file for shard in shards]
        rows, size = parquet.measure(files, set(features))
        sizes.append({"name": split, "num_bytes": size, "num_examples": rows})
        download += sum(file.stat().st_size for file in files)
    return {
        "config_name": name,
        "features": yaml_features(features),
        "splits": sizes,
        "download_size": download,
        "dataset_size": sum(split["num_bytes"] for split in sizes),
    }


def yaml_features(features: Features) -> list:
    """Features in the card's form. Lists are called `sequence`: releases before 4 know no other word for them."""

    def rename(node):
        if isinstance(node, dict):
            return {"sequence" if key == "list" else key: rename(value) for key, value in node.items()}
        return [rename(value) for value in node] if isinstance(node, list) else node

    return rename(features_to_yaml(features))


def group_by_config(shards: Iterable[Shard]) -> dict[str, dict[str, list[Shard]]]:
    """{config: {split: [shards]}}"""
    configs: dict[str, dict[str, list[Shard]]] = {}
    for shard in shards:
        configs.setdefault(shard.config, {}).setdefault(shard.split, []).append(shard)
    return configs
