"""The section "Where it looks" of a model card and a report: scores and counts, no picture, no image, no patient."""

import json
import re
from pathlib import Path

from markupsafe import Markup

from chestxray.files import write
from chestxray.models.weights import digest_weights
from chestxray.reporting import pages
from chestxray.reporting.tables import Table
from chestxray.scoring import map_options
from chestxray.scoring.patient_means import MACRO

MARK = "<!-- written by recipes/score.py -->"  # at the top of each card that score.py wrote
HEADING, AFTER = "## Where it looks", "## Limits"
NUMBERS = "explain/localisation.json"  # in the checkpoint's folder


def section(folder: Path | None) -> Markup:
    """The section as Markdown, "" if there are no numbers of the test split for these weights.

    Args:
        folder: of a checkpoint, or None.
    """
    values = section_values(folder)
    return pages.markdown("where_it_looks.md", heading=HEADING, **values) if values else Markup("")


def section_values(folder: Path | None) -> dict | None:
    """What the section names: `looks`, a dict of numbers, and `looks_table`; None as for `section`."""
    result = read_numbers(folder) if folder else None
    if not result:
        return None
    about = result["about"]
    method = about["method"] + map_options.words(about["models"][0])
    return {"looks": about | {"method": method}, "looks_table": means_table(result)}


def read_numbers(folder: Path) -> dict | None:
    """localisation.json of a checkpoint, if it is of all boxes of a test split and of the weights in the folder."""
    file = folder / NUMBERS
    if not file.exists():
        return None
    result = json.loads(file.read_text(encoding="utf-8"))
    about = result["about"]
    same_weights = about["models"][0]["sha256"] == digest_weights(folder)
    return result if same_weights and about["split"] == "test" and not about["listed"] else None


def means_table(result: dict) -> Table:
    """The mean over findings of each method."""
    from chestxray.reporting.localisation_page import COMPARED, with_interval  # imports datasets, which few cards need
    from chestxray.scoring.localisation_result import measure_of

    header = ["", *(name for name in COMPARED)]
    found = {(row["method"], measure_of(row)): row for row in result["table"] if row["finding"] == MACRO}
    methods = dict.fromkeys(method for method, _ in found)
    rows = [[method, *(with_interval(found[method, measure]) for measure in COMPARED.values())] for method in methods]
    return Table(header, rows)


def update_card(checkpoint: str | Path) -> list[Path]:
    """Put the section into the card in a checkpoint's folder, in the place of an older one.

    Returns:
        The card, in a list; an empty list if score.py has not written one, or there is nothing new.
    """
    card, text = Path(checkpoint) / "README.md", section(Path(checkpoint))
    if not text or not card.exists():
        return []
    before = card.read_text(encoding="utf-8")
    if MARK not in before:
        return []
    without = re.sub(rf"^{HEADING}\n.*?(?=^## )", "", before, flags=re.DOTALL | re.MULTILINE)
    write(card, without.replace(f"{AFTER}\n", f"{text}\n{AFTER}\n", 1))
    return [card]
