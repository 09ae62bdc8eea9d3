"""From a name or a folder to a classifier and its processor."""
