"""What a published repository gives in each release of `datasets`. `noxfile.py` runs this in each one's environment.

    python tests/releases.py FOLDER write MANIFEST      with the newest release
    python tests/releases.py FOLDER check MANIFEST      with any other

The manifest has the features of every config, and a digest of each row with its pixels.
"""

import hashlib
import json
import sys
from pathlib import Path

import datasets
import yaml


def describe(folder):
    """{config: {"plain" or "streaming": {split: {"features": …, "rows": [digest, …]}}}}"""
    matter = yaml.safe_load(Path(folder, "README.md").read_text(encoding="utf-8").split("---\n")[1])
    return {
        entry["config_name"]: {
            way: {
                split: {"features": plain_feature(rows.features.to_dict()), "rows": [row_digest(row) for row in rows]}
                for split, rows in datasets.load_dataset(folder, entry["config_name"], streaming=streaming).items()
            }
            for way, streaming in (("plain", False), ("streaming", True))
        }
        for entry in matter["configs"]
    }


def plain_feature(feature):
    """A feature in words that do not change from release to release."""
    if isinstance(feature, list):
        return ["list", plain_feature(feature[0])]
    kind = feature.get("_type")
    if kind in ("Sequence", "List"):
        length = feature.get("length", -1)
        return ["list", plain_feature(feature["feature"]), length]
    if not isinstance(kind, str):
        return {name: plain_feature(value) for name, value in feature.items()}
    return [kind, feature.get("dtype") if kind == "Value" else feature.get("names")]


def row_digest(row):
    """SHA-256 of all values of a row, of an image its mode, size and pixels."""
    state = hashlib.sha256()
    for name, value in sorted(row.items()):
        if name == "image":
            value = (value.mode, value.size, hashlib.sha256(value.tobytes()).hexdigest())
        state.update(repr((name, value)).encode())
    return state.hexdigest()


def main(folder, action, manifest):
    found = describe(folder)
    rows = sum(len(split["rows"]) for config in found.values() for way in config.values() for split in way.values())
    if action == "write":
        Path(manifest).write_text(json.dumps(found))
        print(f"datasets {datasets.__version__}: wrote {len(found)} configs, {rows} rows")
        return
    expected = json.loads(Path(manifest).read_text())
    for config in expected:
        for way, splits in expected[config].items():
            if found[config][way] != splits:
                raise SystemExit(f"datasets {datasets.__version__}: {config}, {way}, differs from {manifest}")
    print(f"datasets {datasets.__version__}: {len(found)} configs, {rows} rows equal, plain and streaming")


if __name__ == "__main__":
    main(*sys.argv[1:])
