"""Settings, the loop's parts, gradients, schedule, losses, weight averages, checkpoints."""
