"""Uploads to the Hub: a published folder, with its tables on `main` and the loading script on `script`; a checkpoint; a
Space.

Only files on a list are uploaded; everything else in a folder stays. A new repository is private unless the caller asks
otherwise. An existing one keeps its visibility. The token is huggingface_hub's: `HF_TOKEN` or `hf auth login`.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HTTPError

from chestxray.places import public_name, public_settings, without_paths
from chestxray.reporting import model_card
from chestxray.repository import SAMPLE, clone_path
from chestxray.scoring import calibration_file, feature_statistics
from chestxray.training.settings_files import read_settings

SCRIPT = "NIH-Chest-X-ray-dataset.py"
REVISION = "script"
GO_ON = "Start the same command again: what is there is not uploaded again"


# A dataset


def push_dataset(out: Path, repository: str, files: Collection[str], public: bool = False) -> None:
    """Create the dataset repository if there is none, and upload. A second start goes on where the first one stopped.

    Args:
        files: which files of `out` may go, as paths below it.
        public: whether everybody sees the repository, if it is new.

    Raises:
        OSError: the Hub refuses, or cannot be reached.
    """
    api = HfApi()
    common: dict[str, Any] = {"repo_id": repository, "repo_type": "dataset"}
    with clear_errors(repository):
        api.create_repo(**common, private=not public, exist_ok=True)
        api.create_branch(**common, branch=REVISION, exist_ok=True)
        name = script_name(repository)
        api.upload_file(path_or_fileobj=clone_path(SCRIPT), path_in_repo=name, revision=REVISION, **common)
        # upload_folder resumes since huggingface_hub 2; releases before have a method of its own for that.
        upload = getattr(api, "upload_large_folder", api.upload_folder)
        upload(folder_path=out, allow_patterns=list(files), **common)
        # `datasets` 4 and later refuse the whole repository if it holds a script with the repository's name.
        remote = api.list_repo_files(**common)
        if superseded := [path for path in remote if path == name or is_shard(path) and path not in files]:
            api.delete_files(delete_patterns=superseded, commit_message="Remove what this upload supersedes", **common)


def is_shard(path: str) -> bool:
    return bool(re.fullmatch(r"[\w-]+/\w+-\d{5}-of-\d{5}\.(parquet|tar)", path))


def script_name(repository: str) -> str:
    """`load_dataset` runs the script that is named after its repository."""
    return f"{repository.split('/')[-1]}.py"


# A model


def push_model(folder: Path, repository: str, public: bool = False) -> str:
    """Create the model repository if there is none, and upload a finished checkpoint with its card.

    Args:
        public: whether everybody sees the repository, if it is new.

    Returns:
        Its address.

    Raises:
        OSError: the Hub refuses, or cannot be reached.
    """
    api = HfApi()
    with clear_errors(repository):
        repository = api.create_repo(repository, private=not public, exist_ok=True).repo_id
        operations = [CommitOperationAdd(name, content) for name, content in model_files(folder).items()]
        api.create_commit(repository, operations, commit_message="Fine-tuned checkpoint")
    return f"{api.endpoint}/{repository}"


def model_files(folder: str | Path) -> dict[str, str | bytes]:
    """{name: its path, or its content} of every file of a checkpoint's folder that is uploaded.

    None of these files holds predictions, names of images or patients. A file that names places on this machine is
    replaced by a copy that does not.
    """
    found = {}
    for path in sorted(Path(folder).iterdir()):
        reader = next((reader for name, reader in MODEL_FILES.items() if re.fullmatch(name, path.name)), None)
        content = reader(path) if reader and path.is_file() else None
        if content is not None:
            found[path.name] = content
    return found


def unchanged(path: Path) -> str:
    return str(path)


def public_config(path: Path) -> bytes:
    """The file without `_name_or_path`, the model's origin, which transformers before 5 write. The card names it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content.pop("_name_or_path", None)
    return json_bytes(without_paths(content))


def public_yaml(path: Path) -> bytes:
    return yaml.safe_dump(public_settings(asdict(read_settings(path))), sort_keys=False).encode()


def public_results(path: Path) -> bytes | None:
    return json_bytes(json.loads(path.read_text())) if names_no_path(path.parent) else None


def public_calibration(path: Path) -> bytes | None:
    """The numbers that score.py writes, and nothing that somebody added; None for another or a damaged file."""
    try:
        return calibration_file.as_text(calibration_file.read(path)).encode()
    except ValueError:
        return None


def public_statistics(path: Path) -> bytes | None:
    """The numbers that score.py writes, and nothing that somebody added; None for another or a damaged file."""
    try:
        return feature_statistics.as_bytes(feature_statistics.read(path))
    except ValueError:
        return None


def public_example(path: Path) -> bytes | None:
    """The drawn image of the card, None for any other: it may be a person's."""
    content = path.read_bytes()
    return content if content == (SAMPLE / model_card.EXAMPLE_IMAGE).read_bytes() else None


def public_picture(path: Path) -> str | None:
    """The picture, unless a name of a dataset above its panels shows a path."""
    return unchanged(path) if names_no_path(path.parent) else None


def names_no_path(folder: Path) -> bool:
    """Whether the names of its datasets are free of paths: results of earlier releases may hold some."""
    results, saved = folder / "all_results.json", folder / "settings.yaml"
    if not results.exists() or not saved.exists():
        return False
    names = json.loads(results.read_text()).get("datasets", [])
    paths = [source for source in (read_settings(saved).dataset or []) if public_name(source) != source]
    return not any(path in name for path in paths for name in names)


def json_bytes(content: object) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


MODEL_FILES: dict[str, Callable] = {  # {pattern of a file's name: function to its public content, or to None}
    r"model(-\d{5}-of-\d{5})?\.safetensors": unchanged,
    r"model\.safetensors\.index\.json": unchanged,
    r"config\.json": public_config,
    r"(pre)?processor_config\.json": public_config,
    r"settings\.yaml": public_yaml,
    r"README\.md": unchanged,
    r"example\.png": public_example,
    r"calibration\.json": public_calibration,
    r"feature_statistics\.npz": public_statistics,
    r"all_results\.json": public_results,
    r"results\.png": public_picture,
    r"epochs\.csv": unchanged,
}


# A Space


def push_space(files: Mapping[str, bytes], repository: str, public: bool = False) -> str:
    """Create the Space if there is none, and upload its files in one commit, which starts it.

    Args:
        files: {path: content}, see `space.space_files`. What a Space has in their folders besides them is deleted.
        public: whether everybody sees the Space, if it is new.

    Returns:
        Its address.

    Raises:
        OSError: the Hub refuses, or cannot be reached.
    """
    api = HfApi()
    common: dict[str, Any] = {"repo_type": "space"}
    folders = {path.split("/")[0] for path in files if "/" in path}
    with clear_errors(repository):
        created = api.create_repo(repository, private=not public, exist_ok=True, space_sdk="gradio", **common)
        there = api.list_repo_files(created.repo_id, **common)
        outdated = [path for path in there if path.split("/")[0] in folders and path not in files]
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationDelete(path) for path in outdated
        ]
        operations += [CommitOperationAdd(path, content) for path, content in files.items()]
        api.create_commit(created.repo_id, operations, commit_message="A demo of the model", **common)
    return f"{api.endpoint}/spaces/{created.repo_id}"


# Errors


@contextmanager
def clear_errors(repository: str) -> Iterator[None]:
    """Turn an error of the Hub into an OSError of one line, without the token."""
    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            reason = "HF_TOKEN, or the token of `hf auth login`, is not valid or may not write there"
            raise OSError(f"the Hub refuses {repository} ({status}): {reason}") from None
        raise OSError(f"the Hub does not accept {repository} ({status}): {first_line(error)}") from None
    except (HTTPError, ConnectionError) as error:  # its client's own: no answer at all
        raise OSError(f"the Hub cannot be reached for {repository}: {first_line(error)}. {GO_ON}") from None
    except RuntimeError as error:  # of hf_xet, which uploads large files
        raise OSError(f"the upload to {repository} broke: {first_line(error)}. {GO_ON}") from None


def first_line(error: Exception) -> str:
    """The first line of an error's text, with "…" in place of the token."""
    text = next(iter(str(error).strip().splitlines()), type(error).__name__)
    token = get_token()
    return text.replace(token, "…") if token else text
