"""Device, precision, memory layout and processes: where a run happens, not what it learns."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    DistributedType,
    InitProcessGroupKwargs,
    ProjectConfiguration,
)

from chestxray import machine
from chestxray.models.batch_norm import has_batch_norm

CPU_BATCH = 32  # images per pass: a CPU is no faster with more of them, and they cost memory
GPU_EVALUATION_BATCH = 128  # without gradients, this is small beside what training needs


def start_accelerator(
    output_dir: str, mixed_precision: str | None = None, compile: bool = False, trackers: list[str] | None = None
) -> Accelerator:
    """Accelerate, set up for the settings, the launcher and the device. mixed_precision: None: `default_precision`."""
    return Accelerator(
        mixed_precision=mixed_precision or default_precision(),
        dynamo_backend="inductor" if compile else None,
        log_with=trackers or None,
        project_config=ProjectConfiguration(output_dir, logging_dir=str(Path(output_dir) / "logs")),
        kwargs_handlers=[
            # the first process decodes the archive, which can take hours; the others wait for it
            InitProcessGroupKwargs(timeout=timedelta(days=1)),
            # DDP's own sharing of buffers waits for ever if a process begins a step again; see share_buffers
            DistributedDataParallelKwargs(broadcast_buffers=False),
        ],
    )


def default_precision() -> str:
    """What the launcher asks for ("no" if nothing); otherwise bf16 on a GPU that has it."""
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if asked == "no" and torch.cuda.is_available() and torch.cuda.is_bf16_supported():
        return "bf16"
    return asked


def uses_channels_last(asked: bool | None, device: torch.device, model: torch.nn.Module) -> bool:
    """Whether weights and images have that memory layout. asked: None is yes on a GPU, or if a model has batch norm.

    Batch norm tells the networks of convolutions from those of tokens, and from ConvNeXt, which are no faster with it
    on a CPU. A training step at 224 pixels, seconds of one thread without it and with it: EfficientNet-Lite0 3.0 and
    1.7 (32 images), DenseNet-121 6.5 and 5.3, ResNet-18 1.4 and 1.2 (16), ConvNeXt-Atto 0.7 and 0.8 (16), ViT-Ti/16
    3.4 and 3.5. AMD EPYC, torch 2.15, a busy machine, CPU time, 22 November 2026.
    """
    if asked is not None:
        return asked
    return device.type == "cuda" or has_batch_norm(model)


def evaluation_batch(asked: int | None, device: torch.device) -> int:
    """Images per process and pass without gradients."""
    return asked or (GPU_EVALUATION_BATCH if device.type == "cuda" else CPU_BATCH)


def reading_workers(asked: int | None, device: torch.device) -> int:
    """Processes that read batches beside each process of the job."""
    return 2 * (device.type == "cuda") if asked is None else asked


def fit_to_device(model: Any, device: torch.device, gradient_checkpointing: bool, channels_last: bool) -> None:
    """Choose fast float32 products, the model's memory layout, and whether it keeps its activations."""
    torch.set_float32_matmul_precision("high")
    if device.type == "cpu":
        machine.keep_freed_memory()
        machine.use_all_cores()
    if gradient_checkpointing and hasattr(model, "timm_model"):
        model.timm_model.set_grad_checkpointing(True)
    elif gradient_checkpointing:
        model.gradient_checkpointing_enable()
    if channels_last:
        model.to(memory_format=torch.channels_last)


def share_buffers(model: torch.nn.Module, accelerator: Accelerator) -> None:
    """Give every process the first one's buffers (batch norm's statistics), as DDP does in each step."""
    if accelerator.num_processes > 1 and accelerator.distributed_type != DistributedType.FSDP:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)
