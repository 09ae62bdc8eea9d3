"""What the recipes share: data in, pixels, models, settings and reports. Nothing here parses a command line."""

from importlib import import_module


def __getattr__(name):
    # The builder's file has the name the Hub wants, which no import statement can spell.
    if name == "NIHChestXray":
        return import_module("NIH-Chest-X-ray-dataset").NIHChestXray
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
