"""Whether a model has batch norm: it takes its statistics of the images of one pass alone."""

import torch


def has_batch_norm(model: torch.nn.Module) -> bool:
    return any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in model.modules())
