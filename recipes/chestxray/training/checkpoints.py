"""All that a run needs to go on after a stop, as one safetensors file that is whole or not there.

No random state is kept: order, augmentation and dropout of a step depend only on the seed and the step's number.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from chestxray import files
from chestxray.training.averaging import Average

PLAIN = StateDictOptions()
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)  # on the first process; the others get nothing
SPREAD = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)


class Checkpoints:
    """`last.safetensors` with all of a run's state, and `best-EPOCH.safetensors` with the weights to keep.

    `last.safetensors` names the epoch of its best weights. Their file stays until the next `last.safetensors` is
    written. So there is always a matching pair, even if the process dies.
    """

    def __init__(
        self,
        folder: Path,
        accelerator: Accelerator,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        average: Average,
    ):
        self.folder, self.accelerator, self.average = folder, accelerator, average
        self.sharded = is_sharded(model)
        self.model = model if self.sharded else accelerator.unwrap_model(model, keep_torch_compile=False)
        self.optimizer = getattr(optimizer, "optimizer", optimizer)

    def save(self, facts: dict) -> None:
        """Write the state after a step. Every process must call it.

        facts: JSON, with the epoch of the `best` weights.
        """
        state = {f"model.{name}": tensor for name, tensor in self._weights().items()}
        if self.average.mean:
            with self.average.in_model():
                # these are the model's own tensors unless it is sharded, and they are about to be swapped back
                state |= {f"average.{name}": tensor.clone() for name, tensor in self._weights().items()}
        for name, moments in self._optimizer_state().get("state", {}).items():
            state |= {f"optimizer.{name}.{moment}": tensor for moment, tensor in moments.items()}
        if self.accelerator.scaler is not None:
            facts = facts | {"scaler": self.accelerator.scaler.state_dict()}
        if self.accelerator.is_main_process:
            write_tensors(state, self.last_file, facts)
            for old in self.folder.glob("best-*.safetensors"):
                if old != self.best_file(facts["best"]):
                    old.unlink()

    def save_best(self, epoch: int) -> None:
        """Keep the weights, or their average, of this epoch. Every process must call it."""
        with self.average.in_model():  # until they are written: they are the model's own tensors unless it is sharded
            weights = self._weights()
            if self.accelerator.is_main_process:
                write_tensors(weights, self.best_file(epoch), {"epoch": epoch})

    def restore(self) -> dict | None:
        """Put the last checkpoint into model, average and optimiser. Returns its facts, None without a checkpoint."""
        if not self.last_file.exists():
            return None
        state = self._read(self.last_file)
        facts = read_facts(self.last_file)
        if self.average.mean:
            self._load(strip_prefix(state, "average."))
            self.average.restart()
        self._load(strip_prefix(state, "model."))
        self._load_moments(strip_prefix(state, "optimizer."))
        if self.accelerator.scaler is not None and "scaler" in facts:
            self.accelerator.scaler.load_state_dict(facts["scaler"])
        return facts

    def load_best(self, epoch: int) -> None:
        """Put the weights of this epoch into the model. Every process must call it."""
        self.accelerator.wait_for_everyone()  # the first one may still be writing
        self._load(self._read(self.best_file(epoch)))

    @property
    def last_file(self) -> Path:
        return self.folder / "last.safetensors"

    def best_file(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch}.safetensors"

    def _read(self, path):
        """The tensors of a file. If the weights are sharded, only the first process reads, and passes them on."""
        return read_tensors(path) if self.accelerator.is_main_process or not self.sharded else {}

    def _load_moments(self, tensors):
        moments = {}
        for name, tensor in tensors.items():
            name, _, moment = name.rpartition(".")
            moments.setdefault(name, {})[moment] = tensor
        # rates and weight decays stay as they are now: no checkpoint has them, because every step sets its own
        state = self._optimizer_state()
        state |= {"state": moments} if state else {}
        set_optimizer_state_dict(self.model, self.optimizer, state, options=self._how_to_load())

    def _load(self, weights):
        set_model_state_dict(self.model, weights, options=self._how_to_load())

    def _how_to_load(self):
        return SPREAD if self.sharded else PLAIN

    def _weights(self):
        return whole_weights(self.model)

    def _optimizer_state(self):
        return get_optimizer_state_dict(self.model, self.optimizer, options=WHOLE if self.sharded else PLAIN)


def checkpoints_folder(output_dir: str | None) -> Path:
    """Where a run keeps its checkpoints."""
    return Path(output_dir or "", "checkpoints")


def whole_weights(model: torch.nn.Module) -> dict[str, Any]:
    """The weights by the model's own names, also after torch.compile, DDP and FSDP.

    Each of these puts a word before the names, and `Accelerator.get_state_dict` does not remove torch.compile's. If the
    weights are sharded, the first process gets all of them, and every process must call this function.
    """
    return get_model_state_dict(model, options=WHOLE if is_sharded(model) else PLAIN)


def is_sharded(model):
    """Whether FSDP 2 holds the weights in parts."""
    return any(hasattr(weight, "device_mesh") for weight in model.parameters())


def strip_prefix(state, prefix):
    """The tensors whose names begin with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def write_tensors(tensors: Mapping[str, torch.Tensor], path: Path, facts: dict) -> None:
    """Write tensors and facts (JSON), so that the file is whole or not there."""
    tensors, text = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, json.dumps(facts)
    with files.whole_file(path, alone=True, sync=True) as part:
        save_file(tensors, part, {"facts": text, "crc32": str(checksum(tensors, text))})


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file. Raises ValueError if it is not as `write_tensors` left it."""
    with name_damaged_file(path), safe_open(path, "pt") as file:
        tensors, kept = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
        if kept.get("crc32", "") not in ("", str(checksum(tensors, kept["facts"]))):
            raise ValueError("its checksum does not fit its content")
        return tensors


def read_facts(path: Path) -> dict:
    """The facts of a file. Raises ValueError if it is damaged."""
    with name_damaged_file(path), safe_open(path, "pt") as file:
        return json.loads(file.metadata()["facts"])


def checksum(tensors, facts):
    """CRC-32 of the facts and of every tensor's name, type, shape and bytes."""
    crc = zlib.crc32(facts.encode())
    for name, tensor in sorted(tensors.items()):
        crc = zlib.crc32(repr((name, tensor.dtype, tuple(tensor.shape))).encode(), crc)
        crc = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy(), crc)
    return crc


@contextmanager
def name_damaged_file(path: Path) -> Iterator[None]:
    """Turn any error of a damaged file into a ValueError that names it and says what to do."""
    try:
        yield
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"{path} is damaged: {str(error).partition(chr(10))[0]}. Delete {path.parent} to begin the run again."
        ) from error
