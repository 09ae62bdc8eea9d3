"""A gradient is the whole batch's, in however many parts and processes it is computed."""

import forks

# Seven rows: the two processes have four and three of them, in parts of two.
TWO = """
import numpy as np
import torch
from accelerate import Accelerator
from chestxray.training.gradients import Gradients

accelerator = Accelerator(cpu=True)
torch.manual_seed(0)
rows, wanted = torch.randn(7, 5), torch.randn(7, 3)

def gradients(model, mine, size):
    def loss(rows_of_part):
        part = mine[rows_of_part]
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
print("the whole batch's", flush=True)
accelerator.wait_for_everyone()
accelerator.end_training()
"""


# The second process runs out of memory in its first pass: DDP would wait for ever, were it to share buffers itself.
OUT_OF_MEMORY = """
import torch
from chestxray.training.gradients import Gradients
from chestxray.training import device

accelerator = device.start_accelerator("unused")
torch.manual_seed(0)
rows = torch.randn(8, 5)
model = accelerator.prepare(torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 3)))
failures = [1] if accelerator.process_index else []

def loss(part):
    images = model(rows[part])
    if failures and len(images) > 4:
        failures.pop()
        raise torch.OutOfMemoryError("CUDA out of memory.")
    return images.square().sum()

gradients = Gradients(model, accelerator, 8)
for step in range(3):
    gradients.compute(loss, 8, count=8 * 3, seed=step, most=8)
    device.share_buffers(model, accelerator)
    model.zero_grad()
statistics = accelerator.gather(model.module[1].running_mean[None])
assert torch.equal(statistics[0], statistics[1])
print(f"<parts of {gradients.size}>", flush=True)
accelerator.wait_for_everyone()
accelerator.end_training()
"""


def run_two(script, folder):
    """What the script in two processes prints, errors included.

    Not its exit status: once in some twenty runs gloo's threads abort at the interpreter's end, when all is said.
    """
    (folder / "two.py").write_text(script)
    done = forks.run_two(folder / "two.py")
    return done.stdout + done.stderr


def test_two_processes_with_uneven_shares_in_parts_have_the_whole_batchs_gradient(tmp_path):
    printed = run_two(TWO, tmp_path)
    assert printed.count("the whole batch's") == 2, printed


def test_a_process_that_runs_out_of_memory_begins_again_while_the_other_waits(tmp_path):
    printed = run_two(OUT_OF_MEMORY, tmp_path)
    assert "<parts of 8>" in printed and "<parts of 4>" in printed, printed
