"""The names of the heatmap methods. Light, so that `explain.py --help` answers at once."""

METHODS = ("cam", "grad-cam", "grad-cam++", "attention", "integrated-gradients")
PATH = METHODS[-1]  # the only one that begins at another image
