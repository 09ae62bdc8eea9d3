"""A checkpoint holds whole weights, however they are spread over processes."""

import torch

import forks
from chestxray.training import checkpoints

# What Accelerate's FSDP 2 does on GPUs, which it refuses on a CPU: weights and moments in parts, one per process.
SHARDED = """
import sys
from pathlib import Path
import torch
from accelerate import Accelerator
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from chestxray.training.averaging import Average
from chestxray.training.checkpoints import Checkpoints, whole_weights

accelerator = Accelerator(cpu=True)
mesh = init_device_mesh("cpu", (accelerator.num_processes,))

def made(seed):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 4))
    model = fully_shard(model, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    average = Average(model, 0.5)
    return model, optimizer, average, Checkpoints(Path(sys.argv[1]), accelerator, model, optimizer, average)

def step(model, optimizer, average, number):
    torch.manual_seed(number)
    model(torch.randn(5, 6)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    average.update(number)

model, optimizer, average, kept = made(0)
assert kept.sharded
for number in range(3):
    step(model, optimizer, average, number)
kept.save_best(1)
kept.save({"step": 3, "best": 1})
weights = whole_weights(torch.compile(model, backend="eager"))  # to which end every process must call it
if accelerator.is_main_process:
    assert set(weights) == set(model.state_dict()) and weights["0.weight"].shape == (8, 6), weights
for number in range(3, 6):
    step(model, optimizer, average, number)

other, other_optimizer, other_average, again = made(1)
assert again.restore()["step"] == 3
for number in range(3, 6):
    step(other, other_optimizer, other_average, number)
for one, two in zip(model.state_dict().values(), other.state_dict().values()):
    one, two = (tensor.to_local() if hasattr(tensor, "to_local") else tensor for tensor in (one, two))
    assert torch.equal(one, two)
with average.in_model(), other_average.in_model():
    assert torch.equal(model[0].weight.to_local(), other[0].weight.to_local())
    averaged = model[0].weight.full_tensor()
again.load_best(1)
assert not torch.equal(other[0].weight.full_tensor(), averaged), "that of three steps ago"
accelerator.print("as if undisturbed")
accelerator.wait_for_everyone()
accelerator.end_training()
"""


def test_sharded_weights_moments_and_average_are_restored_and_written_whole(tmp_path):
    (tmp_path / "sharded.py").write_text(SHARDED)
    done = forks.run_two(tmp_path / "sharded.py", tmp_path / "checkpoints")
    assert done.returncode == 0, done.stderr
    assert "as if undisturbed" in done.stdout
    state = checkpoints.read_tensors(tmp_path / "checkpoints" / "last.safetensors")
    assert state["model.0.weight"].shape == state["optimizer.0.weight.exp_avg"].shape == (8, 6)
    assert not torch.equal(state["model.0.weight"], state["average.0.weight"])


def test_what_is_being_written_is_never_taken_for_a_checkpoint(tmp_path):
    checkpoints.write_tensors({"a": torch.ones(2)}, tmp_path / "last.safetensors", {"step": 1})
    (tmp_path / ".last.safetensors.writing").write_bytes(b"half")
    assert checkpoints.read_facts(tmp_path / "last.safetensors") == {"step": 1}
    checkpoints.write_tensors({"a": torch.zeros(2)}, tmp_path / "last.safetensors", {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["last.safetensors"]


def test_a_bit_turned_over_in_a_checkpoint_is_refused_by_name_or_changes_nothing(tmp_path):
    path, tensors = tmp_path / "last.safetensors", {"a": torch.arange(12.0).view(3, 4), "step": torch.tensor(3.0)}
    checkpoints.write_tensors(tensors, path, {"step": 3})
    whole, refused = path.read_bytes(), 0
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        try:
            again = checkpoints.read_tensors(path)
        except ValueError as error:
            assert "last.safetensors is damaged: " in str(error) and "\n" not in str(error)
            refused += 1
        else:  # of the checksum's own name, say
            assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())
    assert refused > 50
