"""Onto the Hub: a published folder, its tables on `main` and the loading script on `script`; a finished checkpoint."""

import re
from pathlib import Path

from huggingface_hub import HfApi

SCRIPT = Path(__file__).parents[3] / "NIH-Chest-X-ray-dataset.py"
REVISION = "script"
# A script named after the repository makes `datasets` 4 and later refuse all of it, whatever else it holds.
KEPT_FROM_MAIN = ["*.py", ".*", "*/.*"]


def push(out, repository):
    """Create the dataset repository where there is none, and upload; started again, it goes on where it stopped.

    The token is huggingface_hub's: `HF_TOKEN` or `hf auth login`.
    """
    api = HfApi()
    common = {"repo_id": repository, "repo_type": "dataset"}
    api.create_repo(**common, exist_ok=True)
    api.create_branch(**common, branch=REVISION, exist_ok=True)
    name = script_name(repository)
    api.upload_file(path_or_fileobj=SCRIPT, path_in_repo=name, revision=REVISION, **common)
    # upload_folder resumes since huggingface_hub 2; releases before have a method of its own for that.
    upload = getattr(api, "upload_large_folder", api.upload_folder)
    upload(folder_path=out, ignore_patterns=list(KEPT_FROM_MAIN), **common)
    remote = api.list_repo_files(**common)
    if superseded := [path for path in remote if path == name or is_shard(path) and not Path(out, path).exists()]:
        api.delete_files(delete_patterns=superseded, commit_message="Remove what this upload supersedes", **common)


def push_model(folder, repository):
    """Create the model repository where there is none, and upload a finished checkpoint with its card.

    Returns its address. Checkpoints to resume from, logs and predictions, which name patients, stay here.
    """
    api = HfApi()
    repository = api.create_repo(repository, exist_ok=True).repo_id
    kept = ["checkpoints/*", "logs/*", "score/*"]
    api.upload_folder(
        repo_id=repository, folder_path=folder, ignore_patterns=kept, commit_message="Fine-tuned checkpoint"
    )
    return f"{api.endpoint}/{repository}"


def is_shard(path):
    return bool(re.fullmatch(r"[\w-]+/\w+-\d{5}-of-\d{5}\.(parquet|tar)", path))


def script_name(repository):
    """`load_dataset` runs the script that is named after its repository."""
    return f"{repository.split('/')[-1]}.py"
