"""The digest of a model's weights; predictions keep it to identify their model. Nothing here needs PyTorch."""

from pathlib import Path

from chestxray.files import digest_files


def digest_weights(checkpoint: str | Path) -> str:
    """SHA-256 of the *.safetensors in a checkpoint's folder, in the order of their names.

    Raises FileNotFoundError if there are none.
    """
    weights = sorted(Path(checkpoint).glob("*.safetensors"))
    if not weights:
        raise FileNotFoundError(f"{checkpoint} holds no *.safetensors, so no checkpoint as finetune.py leaves it")
    return digest_files(*weights)
