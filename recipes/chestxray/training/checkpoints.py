"""What a run needs to go on where it stopped, as one safetensors file that is either whole or not there.

Nothing random is kept: order, augmentation and dropout of a step are functions of the seed and the step's number.
"""

import json
import zlib
from contextlib import contextmanager

import torch
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

PLAIN = StateDictOptions()
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)  # on the first process; nothing on the others
SPREAD = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)


class Checkpoints:
    """`last.safetensors` with all of a run's state, and `best-EPOCH.safetensors` with the weights to keep.

    The last one names its best one, which stays until another last one is written: whenever the process dies, a
    matching pair is there.
    """

    def __init__(self, folder, accelerator, model, optimizer, average):
        self.folder, self.accelerator, self.average = folder, accelerator, average
        self.sharded = sharded(model)
        self.model = model if self.sharded else accelerator.unwrap_model(model, keep_torch_compile=False)
        self.optimizer = getattr(optimizer, "optimizer", optimizer)

    def save(self, facts):
        """Write the state after a step; every process must call it.

        facts: what is JSON, with the epoch of the `best` weights.
        """
        state = {f"model.{name}": tensor for name, tensor in self._weights().items()}
        if self.average.mean:
            with self.average.in_place():
                # unless sharded these are the model's own tensors, which are about to be swapped back
                state |= {f"average.{name}": tensor.clone() for name, tensor in self._weights().items()}
        for name, moments in self._optimizer_state().get("state", {}).items():
            state |= {f"optimizer.{name}.{moment}": tensor for moment, tensor in moments.items()}
        if self.accelerator.scaler is not None:
            facts = facts | {"scaler": self.accelerator.scaler.state_dict()}
        if self.accelerator.is_main_process:
            write(state, self.folder / "last.safetensors", facts)
            for old in self.folder.glob("best-*.safetensors"):
                if old != self.best(facts["best"]):
                    old.unlink()

    def save_best(self, epoch):
        """Keep the weights, or their average, of this epoch. Every process must call it."""
        with self.average.in_place():  # until they are written: unless sharded they are the model's own tensors
            weights = self._weights()
            if self.accelerator.is_main_process:
                write(weights, self.best(epoch), {"epoch": epoch})

    def restore(self):
        """Go on from the last checkpoint: its facts, or None where there is none."""
        path = self.folder / "last.safetensors"
        if not path.exists():
            return None
        state = self._read(path)
        facts = read_facts(path)
        if self.average.mean:
            self._load(part(state, "average."))
            self.average.restart()
        self._load(part(state, "model."))
        moments = {}
        for name, tensor in part(state, "optimizer.").items():
            name, _, moment = name.rpartition(".")
            moments.setdefault(name, {})[moment] = tensor
        # rates and decays are as they are now: a checkpoint has none, for every step sets its own
        optimizer_state = self._optimizer_state()
        optimizer_state |= {"state": moments} if optimizer_state else {}
        set_optimizer_state_dict(self.model, self.optimizer, optimizer_state, options=self._how_to_load())
        if self.accelerator.scaler is not None and "scaler" in facts:
            self.accelerator.scaler.load_state_dict(facts["scaler"])
        return facts

    def load_best(self, epoch):
        """Put the weights kept of this epoch into the model. Every process must call it."""
        self.accelerator.wait_for_everyone()  # the first one may still be writing
        self._load(self._read(self.best(epoch)))

    def best(self, epoch):
        return self.folder / f"best-{epoch}.safetensors"

    def _read(self, path):
        """The tensors of a file; where the weights are sharded, on the first process alone, which hands them on."""
        return read(path) if self.accelerator.is_main_process or not self.sharded else {}

    def _load(self, weights):
        set_model_state_dict(self.model, weights, options=self._how_to_load())

    def _how_to_load(self):
        return SPREAD if self.sharded else PLAIN

    def _weights(self):
        return whole_weights(self.model)

    def _optimizer_state(self):
        return get_optimizer_state_dict(self.model, self.optimizer, options=WHOLE if self.sharded else PLAIN)


def whole_weights(model):
    """The weights by the names that the model itself has for them, as torch.compile, DDP and FSDP leave it.

    Each of these puts a word before the names, and `Accelerator.get_state_dict` leaves that of torch.compile. Where
    the weights are sharded they are whole on the first process, and every process must call it.
    """
    return get_model_state_dict(model, options=WHOLE if sharded(model) else PLAIN)


def sharded(model):
    """Whether FSDP 2 holds the weights in parts."""
    return any(hasattr(weight, "device_mesh") for weight in model.parameters())


def part(state, prefix):
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def write(tensors, path, facts):
    """Write tensors and facts, a dict that JSON can hold, so that the file is whole or not there."""
    tensors, facts = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, json.dumps(facts)
    with files.whole_file(path, alone=True, sync=True) as part:
        save_file(tensors, part, {"facts": facts, "crc32": str(checksum(tensors, facts))})


def read(path):
    """The tensors of a file. Raises ValueError where it is not as `write` left it."""
    with one_error(path), safe_open(path, "pt") as file:
        tensors, kept = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
        if kept.get("crc32", "") not in ("", str(checksum(tensors, kept["facts"]))):
            raise ValueError("its checksum is another")
        return tensors


def read_facts(path):
    with one_error(path), safe_open(path, "pt") as file:
        return json.loads(file.metadata()["facts"])


def checksum(tensors, facts):
    """CRC-32 of the facts and of every tensor's name, type, shape and bytes."""
    found = zlib.crc32(facts.encode())
    for name, tensor in sorted(tensors.items()):
        found = zlib.crc32(repr((name, tensor.dtype, tuple(tensor.shape))).encode(), found)
        found = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy(), found)
    return found


@contextmanager
def one_error(path):
    try:
        yield
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"{path} is damaged: {str(error).partition(chr(10))[0]}. Delete {path.parent}, and the run begins anew."
        ) from error
