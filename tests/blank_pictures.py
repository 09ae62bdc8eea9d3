"""finetune.py, score.py and explain.py with blank pictures: drawing takes most of their time on a tiny archive.

In a process of its own: blank_pictures.py SCRIPT FLAGS …
"""

import runpy
import sys

NAMES = ("intervals", "roc", "precision-recall", "subgroups", "reliability", "missed")


def replace(setattr):
    """Put what draws nothing in the place of what draws. setattr: as `setattr` is called."""
    from chestxray.reporting import contact_sheet, plots, run_results  # a release's environment lacks them

    blank = [plots.Picture(name, title=name, alternative=name, svg=b"<svg/>") for name in NAMES]
    setattr(plots, "draw", lambda card: blank)
    setattr(contact_sheet, "draw", lambda *_: b"a picture")
    setattr(run_results, "plot_results", lambda results, path: path.write_bytes(b"a picture"))


if __name__ == "__main__":
    replace(setattr)
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
