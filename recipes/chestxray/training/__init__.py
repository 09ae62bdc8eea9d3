"""Settings, the run and its data, gradients, rates, losses, weight averages, checkpoints, evaluation."""
