"""What the recipes share: data in, pixels, models, settings and reports. Nothing here parses a command line."""


def __getattr__(name):
    if name == "NIHChestXray":  # imported when it is asked for: `datasets` takes a second
        from chestxray.data.nih import NIHChestXray

        return NIHChestXray
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
