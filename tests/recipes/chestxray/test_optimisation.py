"""A gradient is the whole batch's, on however many processes and in however many parts it is computed."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

# Seven rows: the two processes have four and three of them, in parts of two.
TWO = """
import numpy as np
import torch
from accelerate import Accelerator
from chestxray.optimisation import Gradients

accelerator = Accelerator(cpu=True)
torch.manual_seed(0)
rows, wanted = torch.randn(7, 5), torch.randn(7, 3)

def gradients(model, mine, size):
    def loss(first, end):
        part = mine[first:end]
        return (model(rows[part]) - wanted[part]).square().sum()
    total = Gradients(model, accelerator, size).compute(loss, len(mine), count=7 * 3, seed=0)
    return total, [weight.grad.clone() for weight in model.parameters()]

torch.manual_seed(1)
model = accelerator.prepare(torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3)))
mine = np.array_split(np.arange(7), accelerator.num_processes)[accelerator.process_index]
loss, ours = gradients(model, mine, 2)
whole = accelerator.unwrap_model(model)
whole.zero_grad()
((whole(rows) - wanted).square().sum() / 21).backward()
assert accelerator.num_processes == 2
for one, weight in zip(ours, whole.parameters()):
    assert torch.allclose(one, weight.grad, atol=1e-6), (one, weight.grad)
print("the whole batch's")
accelerator.wait_for_everyone()
accelerator.end_training()
"""


def test_two_processes_with_uneven_shares_in_parts_have_the_whole_batchs_gradient(tmp_path):
    (tmp_path / "two.py").write_text(TWO)
    command = [Path(sys.executable).parent / "torchrun", "--nproc_per_node=2", "--standalone", tmp_path / "two.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "recipes"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the whole batch's") == 2
