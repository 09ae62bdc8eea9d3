"""Compute the dataset card's tables and draw its figures from NIH's own metadata.

    python recipes/describe.py ARCHIVE             rewrite README.md and data/figures/
    python recipes/describe.py ARCHIVE --check     write nothing; if something is out of date, name it and exit 1

ARCHIVE is a folder with NIH's tables; it needs no images. This command writes the text between `<!-- begin: NAME -->`
and `<!-- end -->` in the card. The rest is written by hand.
"""

from pathlib import Path

from chestxray.flags import Parser
from chestxray.repository import clone_path
from chestxray.stopping import errors_in_one_line, stop_in_one_line


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("archive", type=Path, help="folder with NIH's metadata and lists, in any layout")
    add("--check", action="store_true", help="write nothing, exit 1 if a table or figure is outdated")
    add("--readme", type=Path, default=clone_path("README.md"), help="the dataset card")
    settings = parser.parse_args(argv)
    if (settings.archive / "SYNTHETIC.txt").exists():
        parser.error(f"{settings.archive} is synthetic; the card describes NIH's own metadata")
    return settings


if __name__ == "__main__":
    stop_in_one_line("describe.py")
    parse(None)  # --help and a wrong flag are answered before the imports below, which take seconds

import sys

from chestxray import NIHChestXray
from chestxray.files import write
from chestxray.reporting import description_figures
from chestxray.reporting.description import card_blocks
from chestxray.reporting.description_metadata import read_metadata
from chestxray.reporting.description_places import fill_places, outdated_places

FIGURES = "data/figures"  # relative to the card


def main(argv=None):
    """The exit status: 1 where `--check` finds something out of date, else 0."""
    settings = parse(argv)

    # Compute tables and figures from the archive
    builder = NIHChestXray("metadata", data_dir=str(settings.archive))
    builder.download_and_prepare()
    dataset = builder.as_dataset()
    data = read_metadata(dataset)

    card = settings.readme.read_text(encoding="utf-8")
    figures = settings.readme.parent / FIGURES
    blocks = card_blocks(dataset, data, settings.archive) | description_figures.figure_blocks(data, FIGURES)

    # Check which of them are outdated
    if settings.check:
        outdated = outdated_places(card, blocks)
        outdated += [f"{FIGURES}/{name}.svg" for name in description_figures.outdated_figures(data, figures)]
        return report_check(outdated, settings.readme, settings.archive, len(blocks))

    # Or write all of them
    card = fill_places(card, blocks)
    figures.mkdir(parents=True, exist_ok=True)
    description_figures.write_figures(data, figures)
    write(settings.readme, card)
    print(f"{settings.readme}: {len(blocks)} places written; the figures are in {figures}")
    return 0


def report_check(outdated, readme, archive, n_places):
    """Print what is out of date; the exit status."""
    if outdated:
        print(f"{readme} is out of date: {', '.join(outdated)}", file=sys.stderr)
        print(f"Write it again: python recipes/describe.py {archive}", file=sys.stderr)
        return 1
    print(f"{readme} and its figures agree with {archive}: {n_places} places.")
    return 0


if __name__ == "__main__":
    with errors_in_one_line("describe.py"):
        raise SystemExit(main())
