"""Onto the Hub: a published folder, its tables on `main` and the loading script on `script`; a finished checkpoint.

What goes is on a list of names that may; all else in a folder stays. A repository that is new is private unless asked
otherwise, one that is there stays as visible as it is. The token is huggingface_hub's: `HF_TOKEN` or `hf auth login`.
"""

import json
import re
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import yaml
from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HTTPError

from chestxray.places import public_name, public_settings, without_paths
from chestxray.repository import clone_path
from chestxray.training.settings_files import read_settings

SCRIPT = "NIH-Chest-X-ray-dataset.py"
REVISION = "script"


# A dataset


def push(out, repository, files, public=False):
    """Create the dataset repository where there is none, and upload; started again, it goes on where it stopped.

    Args:
        files: which files of `out` may go, as paths below it.
        public: whether everybody sees the repository, if it is new.

    Raises:
        OSError: the Hub refuses, or cannot be reached.
    """
    api = HfApi()
    common = {"repo_id": repository, "repo_type": "dataset"}
    with clear_errors(repository):
        api.create_repo(**common, private=not public, exist_ok=True)
        api.create_branch(**common, branch=REVISION, exist_ok=True)
        name = script_name(repository)
        api.upload_file(path_or_fileobj=clone_path(SCRIPT), path_in_repo=name, revision=REVISION, **common)
        # upload_folder resumes since huggingface_hub 2; releases before have a method of its own for that.
        upload = getattr(api, "upload_large_folder", api.upload_folder)
        upload(folder_path=out, allow_patterns=list(files), **common)
        # A script named after the repository makes `datasets` 4 and later refuse all of it, whatever else it holds.
        remote = api.list_repo_files(**common)
        if superseded := [path for path in remote if path == name or is_shard(path) and path not in files]:
            api.delete_files(delete_patterns=superseded, commit_message="Remove what this upload supersedes", **common)


def is_shard(path):
    return bool(re.fullmatch(r"[\w-]+/\w+-\d{5}-of-\d{5}\.(parquet|tar)", path))


def script_name(repository):
    """`load_dataset` runs the script that is named after its repository."""
    return f"{repository.split('/')[-1]}.py"


# A model


def push_model(folder, repository, public=False):
    """Create the model repository where there is none, and upload a finished checkpoint with its card.

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


def model_files(folder):
    """{name: its path, or its content in bytes} of all that leaves a checkpoint's folder.

    Predictions, images' names and patients are in no file that is named here. What names places on this machine goes as
    a copy that does not.
    """
    folder, found = Path(folder), {}
    for path in sorted(folder.iterdir()):
        reader = next((reader for name, reader in MODEL_FILES.items() if re.fullmatch(name, path.name)), None)
        content = reader(path) if reader and path.is_file() else None
        if content is not None:
            found[path.name] = content
    return found


def as_it_is(path):
    return str(path)


def configuration(path):
    """transformers before 5 writes where the model came from, as `_name_or_path`; the card says it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content.pop("_name_or_path", None)
    return as_json(without_paths(content))


def settings(path):
    return yaml.safe_dump(public_settings(asdict(read_settings(path))), sort_keys=False).encode()


def results(path):
    return as_json(json.loads(path.read_text())) if names_no_place(path.parent) else None


def picture(path):
    """With several datasets their names stand above its panels."""
    return as_it_is(path) if names_no_place(path.parent) else None


def names_no_place(folder):
    """Whether the names of its datasets are free of paths: results of earlier releases may hold some."""
    results, saved = folder / "all_results.json", folder / "settings.yaml"
    if not results.exists() or not saved.exists():
        return False
    names = json.loads(results.read_text()).get("datasets", [])
    paths = [source for source in read_settings(saved).dataset if public_name(source) != source]
    return not any(path in name for path in paths for name in names)


def as_json(content):
    return (json.dumps(content, indent=2) + "\n").encode()


MODEL_FILES = {  # pattern of a name that may go: how it is read for others
    r"model(-\d{5}-of-\d{5})?\.safetensors": as_it_is,
    r"model\.safetensors\.index\.json": as_it_is,
    r"config\.json": configuration,
    r"(pre)?processor_config\.json": configuration,
    r"settings\.yaml": settings,
    r"README\.md": as_it_is,
    r"all_results\.json": results,
    r"results\.png": picture,
    r"epochs\.csv": as_it_is,
}


# What goes wrong


@contextmanager
def clear_errors(repository):
    """Turn what the Hub answers into an OSError of one line, which never holds the token."""
    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            reason = "HF_TOKEN, or the token of `hf auth login`, is not valid or may not write there"
            raise OSError(f"the Hub refuses {repository} ({status}): {reason}") from None
        raise OSError(f"the Hub does not take {repository} ({status}): {one_line(error)}") from None
    except (HTTPError, ConnectionError) as error:  # its client's own: no answer at all
        raise OSError(f"the Hub cannot be reached for {repository}: {one_line(error)}") from None


def one_line(error):
    """The first line of an error's text, the token struck out."""
    text = next(iter(str(error).strip().splitlines()), type(error).__name__)
    token = get_token()
    return text.replace(token, "…") if token else text
