"""What the flags of the scoring commands may be. Light, so that `--help` answers at once."""

LEVELS = ("image", "study", "patient")
RULES = ("youden", "f1", "sensitivity")  # in words: reporting/templates/rule.jinja
