"""Compute the dataset card's tables and draw its figures from NIH's own metadata.

    python recipes/describe.py ARCHIVE             rewrite README.md and data/figures/
    python recipes/describe.py ARCHIVE --check     write nothing; exit 1 naming what is out of date

ARCHIVE is a folder with NIH's tables; no image need be in it. What lies between `<!-- begin: NAME -->` and
`<!-- end -->` in the card is written by this command, the rest by hand.
"""

import argparse
import sys
from pathlib import Path

from chestxray import NIHChestXray
from chestxray.reporting import description, description_figures
from chestxray.repository import clone_path

FIGURES = "data/figures"  # relative to the card


def main(argv=None):
    """The exit status: 1 where `--check` finds something out of date, else 0."""
    settings = parse(argv)

    # Tables and figures as the archive has them
    builder = NIHChestXray("metadata", data_dir=str(settings.archive))
    builder.download_and_prepare()
    dataset = builder.as_dataset()
    data = description.read(dataset)

    card = settings.readme.read_text(encoding="utf-8")
    figures = settings.readme.parent / FIGURES
    blocks = {**description.blocks(dataset, settings.archive), **description_figures.blocks(data, FIGURES)}

    # What of them is outdated
    if settings.check:
        outdated = description.outdated(card, blocks)
        outdated += [f"{FIGURES}/{name}.svg" for name in description_figures.outdated(data, figures)]
        if outdated:
            print(f"{settings.readme} is out of date: {', '.join(outdated)}", file=sys.stderr)
            print(f"Write it anew: python recipes/describe.py {settings.archive}", file=sys.stderr)
            return 1
        print(f"{settings.readme} and its figures agree with {settings.archive}: {len(blocks)} places.")
        return 0

    # Or everything anew
    card = description.rewrite(card, blocks)
    figures.mkdir(parents=True, exist_ok=True)
    description_figures.draw(data, figures)
    settings.readme.write_text(card, encoding="utf-8")
    print(f"{settings.readme}: {len(blocks)} places written; figures are in {figures}")
    return 0


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("archive", type=Path, help="folder with NIH's metadata and lists, in any layout")
    add("--check", action="store_true", help="write nothing, exit 1 if a table or figure is outdated")
    add("--readme", type=Path, default=clone_path("README.md"), help="the dataset card")
    settings = parser.parse_args(argv)
    if (settings.archive / "SYNTHETIC.txt").exists():
        parser.error(f"{settings.archive} is synthetic; the card describes NIH's own metadata")
    return settings


if __name__ == "__main__":
    raise SystemExit(main())
