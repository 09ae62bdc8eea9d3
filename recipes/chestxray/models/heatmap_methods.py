"""The names of the heatmap methods. Light, so that `explain.py --help` answers at once."""

METHODS = ("cam", "grad-cam", "grad-cam++", "attention")
