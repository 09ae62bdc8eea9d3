"""Precision and memory layout are what is asked for, or what suits the device."""

import pytest
import torch

from chestxray.training import device


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


@pytest.mark.parametrize("kind, asked, expected", [("cpu", None, False), ("cuda", None, True), ("cuda", False, False)])
def test_channels_last_is_for_gpus_unless_it_is_asked_for(kind, asked, expected):
    assert device.uses_channels_last(asked, torch.device(kind)) is expected


def test_weights_take_the_layout_that_is_asked_for():
    for asked in (True, False):
        model = torch.nn.Conv2d(3, 4, 3)
        device.fit_to_device(model, torch.device("cpu"), gradient_checkpointing=False, channels_last=asked)
        assert model.weight.is_contiguous(memory_format=torch.channels_last) is asked
