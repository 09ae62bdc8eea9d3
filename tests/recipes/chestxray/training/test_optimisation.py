"""Which rate and which weight decay a weight has; and a gradient is the whole batch's, however it is computed."""

from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from timm.optim import param_groups_weight_decay
from transformers import AutoConfig, AutoModelForImageClassification

import forks
from chestxray.training import optimisation
from chestxray.training.settings import Settings

# Rates and weight decay: an architecture as transformers has it, as timm has it, and names that one of them lacks

HALVES = {"layer_decay": 0.5, "layer_decay_blocks": 1, "weight_decay": 0.05}
DEIT = {"architectures": ["DeiTForImageClassification"]}  # there are two
DINO = {"patch_size": 14, "image_size": 518}
HEADS = "classifier", "head", "mask_token"  # timm's sees one token, that of transformers the others' mean as well
POSITIONS = "position_embeddings", "pos_embed"  # timm's gives none to the class token
BEIT = {"use_relative_position_bias": True, "use_mean_pooling": True}
SWIN = {"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24]}
RESNET = {"embedding_size": 64, "hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2], "layer_type": "basic"}
V2 = {"depths": [2, 2, 6, 2], "hidden_sizes": [40, 80, 160, 320]}
FAMILIES = {
    "vit": ("vit", {}, "vit_base_patch16_224", ()),
    "deit": ("deit", DEIT, "deit_base_distilled_patch16_224", ("head_dist",)),
    "dinov2": ("dinov2", DINO, "vit_base_patch14_dinov2", HEADS),
    "registers": ("dinov2_with_registers", DINO, "vit_base_patch14_reg4_dinov2", (*HEADS, *POSITIONS)),
    "beit": ("beit", BEIT, "beit_base_patch16_224", ()),
    "convnext": ("convnext", {}, "convnext_tiny", ()),
    "convnextv2": ("convnextv2", V2, "convnextv2_atto", ()),
    "swin": ("swin", SWIN | {"window_size": 7}, "swin_tiny_patch4_window7_224", ()),
    "swinv2": ("swinv2", SWIN | {"window_size": 8, "image_size": 256}, "swinv2_tiny_window8_256", ()),
    "resnet": ("resnet", RESNET, "resnet18", ()),
}


def built(kind, **config):
    """An architecture without memory for its weights."""
    with torch.device("meta"):
        return AutoModelForImageClassification.from_config(AutoConfig.for_model(kind, num_labels=14, **config))


def by_timm(architecture):
    return built("timm_wrapper", architecture=architecture)


def groups_of(model, settings=HALVES):
    """{name: (share of the rate, weight decay)} of every parameter."""
    groups = optimisation.parameter_groups(model, SimpleNamespace(**settings))
    of = {id(weight): (group["share"], group["weight_decay"]) for group in groups for weight in group["params"]}
    return {name: of[id(weight)] for name, weight in model.named_parameters()}


def counts(model, lacking):
    """How many numbers learn at each share of the rate with each weight decay."""
    total = Counter()
    for name, group in groups_of(model).items():
        if not any(part in lacking for part in name.split(".")):
            total[group] += model.get_parameter(name).numel()
    return dict(total)


@pytest.mark.parametrize("family", FAMILIES)
def test_rates_and_weight_decay_are_those_of_the_same_architecture_in_timm(family):
    kind, config, architecture, lacking = FAMILIES[family]
    theirs = counts(by_timm(architecture), lacking)
    assert counts(built(kind, **config), lacking) == theirs and len(theirs) > 4


@pytest.mark.parametrize("architecture", [family[2] for family in FAMILIES.values()] + ["densenet121"])
def test_weight_decay_spares_what_timm_spares(architecture):
    model = by_timm(architecture)
    listed = getattr(model.timm_model, "no_weight_decay", set)()
    spared, _ = param_groups_weight_decay(model.timm_model, no_weight_decay_list=listed)
    group = groups_of(model)
    ours = [weight for name, weight in model.named_parameters() if not group[name][1]]
    assert [id(weight) for weight in ours] == [id(weight) for weight in spared["params"]]


def test_groups_of_three_blocks_are_those_of_convnext_v2():
    """get_num_layer_for_convnext in facebookresearch/ConvNeXt-V2, optim_factory.py@2553895, in its words."""
    levels = {"embeddings": 0, "layernorm": 13, "classifier": 13}
    depths = [3, 3, 27, 3]
    for stage, depth in enumerate(depths):
        for block in range(depth):
            levels[f"stages.{stage}.layers.{block}"] = (1, 2, 3 + block // 3, 12)[stage]
        levels[f"stages.{stage}.downsampling_layer"] = (0, 2, 3, 12)[stage]
    base = built("convnextv2", depths=depths, hidden_sizes=[128, 256, 512, 1024])
    for name, (share, _) in groups_of(base, HALVES | {"layer_decay": 0.6, "layer_decay_blocks": 3}).items():
        part = name.removeprefix("convnextv2.").removeprefix("encoder.")
        (level,) = [level for start, level in levels.items() if part.startswith(f"{start}.")]
        assert share == pytest.approx(0.6 ** (13 - level)), name


def test_the_last_group_may_be_smaller():
    four_blocks = groups_of(built("vit", num_hidden_layers=4), HALVES | {"layer_decay_blocks": 3})
    assert {share for share, _ in four_blocks.values()} == {1, 0.5, 0.25, 0.125}


def test_where_there_are_no_blocks_a_layer_decay_is_refused_and_none_is_needed():
    model = built("imagegpt")
    with pytest.raises(ValueError, match="ImageGPTForImageClassification has no numbered blocks to count: leave it"):
        groups_of(model)
    assert {share for share, _ in groups_of(model, HALVES | {"layer_decay": 1.0}).values()} == {1}


def schedule(epochs, warmup_epochs, per_epoch=10):
    """The rate of every step, its peak 1."""
    settings = Settings(epochs=epochs, warmup_epochs=warmup_epochs, learning_rate=1.0)
    steps, warmup = epochs * per_epoch, optimisation.warmup_steps(settings, per_epoch)
    return [optimisation.rate(step, steps, warmup, settings) for step in range(steps)]


def test_a_run_of_one_epoch_reaches_its_peak_and_falls():
    rates = schedule(epochs=1, warmup_epochs=1)
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:] == sorted(rates[5:], reverse=True) and rates[-1] < 0.2


def test_a_warm_up_of_less_than_half_the_run_is_as_long_as_asked_for():
    assert schedule(epochs=4, warmup_epochs=1.5).index(1.0) == 14


# Gradients

# Seven rows: the two processes have four and three of them, in parts of two.
TWO = """
import numpy as np
import torch
from accelerate import Accelerator
from chestxray.training.optimisation import Gradients

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
print("the whole batch's", flush=True)
accelerator.wait_for_everyone()
accelerator.end_training()
"""


# The second process runs out of memory in its first pass: DDP would wait for ever, were it to share buffers itself.
OUT_OF_MEMORY = """
import torch
from chestxray.training import loop
from chestxray.training.optimisation import Gradients
from chestxray.training.settings import Settings

accelerator = loop.start(Settings(output_dir="unused"))
torch.manual_seed(0)
rows = torch.randn(8, 5)
model = accelerator.prepare(torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 3)))
failures = [1] if accelerator.process_index else []

def loss(first, end):
    images = model(rows[first:end])
    if failures and end - first > 4:
        failures.pop()
        raise torch.OutOfMemoryError("CUDA out of memory.")
    return images.square().sum()

gradients = Gradients(model, accelerator, 8)
for step in range(3):
    gradients.compute(loss, 8, count=8 * 3, seed=step, most=8)
    loop.share_buffers(model, accelerator)
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
