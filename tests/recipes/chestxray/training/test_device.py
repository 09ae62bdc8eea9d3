"""Precision and memory layout are what is asked for, or what suits the device."""

import platform
import resource
import subprocess
import sys

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageClassification

from chestxray.training import device

SMALL = {
    "vit": {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8},
    "convnext": {"hidden_sizes": [8], "depths": [1], "num_stages": 1},
    "resnet": {"embedding_size": 8, "hidden_sizes": [8], "depths": [1], "layer_type": "basic"},
}


@pytest.mark.parametrize(
    "asked, has_bf16, precision",
    [(None, False, "no"), (None, True, "bf16"), ("no", True, "bf16"), ("fp16", True, "fp16"), ("fp16", False, "fp16")],
)
def test_the_launcher_is_asked_first_and_a_gpu_with_bf16_uses_it(monkeypatch, asked, has_bf16, precision):
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    if asked:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", asked)
    for name in ("is_available", "is_bf16_supported"):
        monkeypatch.setattr(torch.cuda, name, lambda: has_bf16)
    assert device.default_precision() == precision


@pytest.mark.parametrize(
    "kind, family, asked, expected",
    [
        ("cpu", "vit", None, False),
        ("cpu", "convnext", None, False),
        ("cpu", "resnet", None, True),
        ("cpu", "resnet", False, False),
        ("cpu", "vit", True, True),
        ("cuda", "vit", None, True),
        ("cuda", "resnet", False, False),
    ],
)
def test_channels_last_is_for_gpus_and_for_batch_norm_unless_the_user_says_otherwise(kind, family, asked, expected):
    model = AutoModelForImageClassification.from_config(AutoConfig.for_model(family, **SMALL[family]))
    assert device.uses_channels_last(asked, torch.device(kind), model) is expected


def test_weights_take_the_layout_that_is_asked_for():
    for asked in (True, False):
        model = torch.nn.Conv2d(3, 4, 3)
        device.fit_to_device(model, torch.device("cpu"), gradient_checkpointing=False, channels_last=asked)
        assert model.weight.is_contiguous(memory_format=torch.channels_last) is asked


PAGES = """
import resource, torch
from chestxray.training import device
device.fit_to_device(torch.nn.Linear(1, 1), torch.device("cpu"), gradient_checkpointing=False, channels_last=False)
for _ in range(5):  # 64 MB each
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_memory_that_a_step_frees_serves_the_next_step_without_new_pages():
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True)
    # small blocks may lie in the way of one tensor; without it all twenty have new pages
    assert int(done.stdout) <= 2**26 / resource.getpagesize()
