"""An answer as HTML: the picture, a row for each finding, and a heatmap that the browser itself shows or hides.

All heatmaps go to the browser with the answer, as small pictures. So a choice of a finding asks the server for nothing,
and the server need not keep the upload.
"""

import base64
from dataclasses import dataclass
from html import escape

import cv2
import numpy as np

from chestxray.predicting import file_table
from chestxray.predicting.file_table import FilePredictions
from chestxray.reporting.heatmap_overlay import png
from demo.answers import Answer

AXES = (0.05, 0.1, 0.25, 0.5, 1.0)  # where bars may end
EMPTY = '<div class="cx cx-empty">The findings will be here. Choose a file, or one of the drawn examples.</div>'
PRIVACY = "A file is deleted when it has been answered. Nothing is kept."
SQUARE = "The picture as the model reads it: a square, so its proportions may differ."
RELATIVE = (
    "Colours are relative to their own finding: the brightest place has the most evidence, even where there is little. "
    "They say where the model looks, not where a finding is."
)
OWN = "*"  # behind a value that is not calibrated where others are
NO_MAPS = "This model has no exact heatmaps."


@dataclass(frozen=True)
class Row:
    """A finding as the page shows it.

    Attributes:
        number: of the finding; value: the calibrated probability, or the model's own; limit: the threshold, as value.
        call: 1, 0, or NaN without a threshold; percentile: among the validation images, NaN without a calibration.
    """

    number: int
    name: str
    value: float
    is_calibrated: bool
    limit: float
    call: float
    percentile: float


def rows_of(found: FilePredictions) -> list[Row]:
    """All findings of the one file: those called first, then by their percentiles or, without them, their values."""
    values, k = {what: table[0] for what, table in found.values().items()}, len(found.findings)
    unknown = np.full(k, np.nan)
    calibrated, limits = values.get("calibrated", unknown), limits_of(found)
    rows = [
        Row(
            number=number,
            name=finding,
            value=float(values["prob"][number] if np.isnan(calibrated[number]) else calibrated[number]),
            is_calibrated=not np.isnan(calibrated[number]),
            limit=float(limits[number]),
            call=float(values.get("call", unknown)[number]),
            percentile=float(values.get("percentile", unknown)[number]),
        )
        for number, finding in enumerate(found.findings)
    ]
    return sorted(rows, key=lambda row: (row.call != 1, -np.nan_to_num(row.percentile), -row.value))


def limits_of(found: FilePredictions) -> np.ndarray:
    """(k,) the thresholds as the page shows values; NaN where there is none."""
    if not found.calibration or not found.rule:
        return np.full(len(found.findings), np.nan)
    logits = found.calibration.limits[found.rule]
    calibrated = found.calibration.probabilities(logits[None])[0]
    return np.where(np.isnan(calibrated), 1 / (1 + np.exp(-logits)), calibrated)


# Parts of the page


def answer_html(answer: Answer, name: str) -> str:
    """The whole answer. name: what the file is called."""
    rows = rows_of(answer.found)
    chosen = rows[0].number if answer.heat is not None and rows[0].call == 1 else None
    parts = f"{picture_html(answer)}{findings_html(rows, answer.heat is not None, chosen)}"
    return (
        f'<div class="cx"><p class="cx-file">{text(name)}</p>{unlike_html(answer.found)}'
        f'<div class="cx-columns">{parts}</div>{notes_html(answer)}</div>'
    )


def sentence_html(sentence: str) -> str:
    """An answer that is one sentence: why there are no findings."""
    return f'<div class="cx"><p class="cx-alarm" role="alert">{text(sentence)}</p></div>'


def text(words: str) -> str:
    """Words of any origin, without a meaning for HTML or for Gradio's templates."""
    return escape(words).replace("{", "&#123;").replace("$", "&#36;").replace("`", "&#96;")


def unlike_html(found: FilePredictions) -> str:
    if not found.is_unlike[0]:
        return ""
    distance = f"distance {found.distances[0]:.1f}, the limit is 1" if found.distances is not None else ""
    return f'<p class="cx-alarm" role="alert"><b>{file_table.UNLIKE}</b> ({distance}). Do not trust its findings.</p>'


def picture_html(answer: Answer) -> str:
    grey = cv2.imencode(".jpg", answer.picture, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
    layers = [f'<img class="cx-grey" alt="The radiograph" src="{data_uri(grey, "jpeg")}">']
    start, width = 100 * answer.margin, 100 - 200 * answer.margin
    place = f"left:{start:.3f}%;top:{start:.3f}%;width:{width:.3f}%"
    for number, heat in enumerate([] if answer.heat is None else answer.heat):
        source = data_uri(png(heat), "png")
        layers.append(f'<img class="cx-heat cx-heat-{number}" alt="" style="{place}" src="{source}">')
    return f'<div class="cx-figure"><div class="cx-picture">{"".join(layers)}</div></div>'


def data_uri(content: bytes, form: str) -> str:
    return f"data:image/{form};base64,{base64.b64encode(content).decode()}"


def findings_html(rows: list[Row], has_maps: bool, chosen: int | None) -> str:
    most = max(value for row in rows for value in (row.value, row.limit) if not np.isnan(value))
    axis = next(end for end in AXES if most <= end)
    lines = [row_html(row, axis, has_maps, row.number == chosen) for row in rows]
    if has_maps:
        lines.append(f'<label class="cx-row">{radio("none", chosen is None)}<span>The picture alone</span></label>')
    return (
        f'<div class="cx-findings"><p class="cx-axis">{axis_text(rows, has_maps)} Bars end at {percent(axis)}.</p>'
        f'<div role="radiogroup" aria-label="Findings">{"".join(lines)}</div></div>'
    )


def axis_text(rows: list[Row], has_maps: bool) -> str:
    """What a row of the findings shows."""
    known = any(row.is_calibrated for row in rows)
    own = known and not all(row.is_calibrated for row in rows)
    sentences = ["Calibrated probabilities." if known else "The model's own probabilities, not calibrated."]
    if own:
        sentences.append(f"{OWN} The model's own: too few validation images have this finding.")
    if any(not np.isnan(row.limit) for row in rows):
        sentences.append("The line is the threshold.")
    if any(not np.isnan(row.percentile) for row in rows):
        sentences.append("Percentile: how many of 100 validation images have less.")
    if has_maps:
        sentences.append("Choose a finding to see its heatmap.")
    return " ".join(sentences)


def row_html(row: Row, axis: float, has_maps: bool, is_chosen: bool) -> str:
    called = row.call == 1
    tag, state = ("label" if has_maps else "div"), " cx-called" if called else ""
    chip = '<span class="cx-call">above threshold</span>' if called else ""
    place = "" if np.isnan(row.percentile) else f"percentile {row.percentile:.0f}"
    mark = OWN if not row.is_calibrated and not np.isnan(row.percentile) else ""
    limit = "" if np.isnan(row.limit) else f'<span class="cx-limit" style="left:{100 * row.limit / axis:.2f}%"></span>'
    return (
        f'<{tag} class="cx-row{state}">{radio(str(row.number), is_chosen) if has_maps else "<span></span>"}'
        f'<span class="cx-name"><span>{text(row.name.replace("_", " "))}</span>{chip}</span>'
        f'<span class="cx-percentile">{place}</span><span class="cx-value">{text(percent(row.value))}{mark}</span>'
        f'<span class="cx-bar"><span class="cx-fill" style="width:{100 * row.value / axis:.2f}%"></span>{limit}</span>'
        f"</{tag}>"
    )


def radio(value: str, is_chosen: bool) -> str:
    return f'<input type="radio" name="cx" value="{value}"{" checked" if is_chosen else ""}>'


def percent(value: float) -> str:
    """A share as a few figures, with a space that does not break.

    >>> [percent(value).replace(chr(160), " ") for value in (0.0004, 0.0034, 0.034, 0.25)]
    ['<0.1 %', '0.3 %', '3.4 %', '25 %']
    """
    if value < 0.001:
        return "<0.1\u00a0%"
    return f"{100 * value:.{1 if value < 0.095 else 0}f}\u00a0%"


def notes_html(answer: Answer) -> str:
    lines = [NO_MAPS if answer.heat is None else RELATIVE, SQUARE, *origin_lines(answer.found)]
    return f'<div class="cx-notes">{"".join(f"<p>{text(line)}</p>" for line in lines)}</div>'


def origin_lines(found: FilePredictions) -> list[str]:
    """Which images the model was validated on, and what it does not notice."""
    about = found.calibration
    lines = ["It is not recorded which images this model was validated on. It has no thresholds and no calibration."]
    if about:
        where = f"{about.n_images:,} validation images of {' and '.join(about.datasets)}"
        lines = [f"Calibration, thresholds and percentiles come from {where}. They may not fit other hospitals."]
    blind = found.distances is None
    return [*lines, *(["This model does not notice pictures that are no chest radiograph."] if blind else [])]


def head_html(about: FilePredictions) -> str:
    """The top of the page: what it is, and what it is not."""
    drawn = f'<p class="cx-alarm"><b>{text(file_table.DRAWN)}</b></p>' if about.synthetic else ""
    return (
        '<div class="cx cx-head"><h1>Findings in a chest radiograph</h1>'
        f'<p class="cx-device"><b>{text(file_table.NO_DEVICE)}</b> {PRIVACY} Upload no picture with a name in it.</p>'
        f"{drawn}</div>"
    )


def examples_html(examples: dict[str, bytes]) -> str:
    """A button for each of {name: a PNG}."""
    buttons = "".join(
        f'<button type="button" data-example="{number}"><img alt="" src="{data_uri(content, "png")}">'
        f"<span>{text(name)}</span></button>"
        for number, (name, content) in enumerate(examples.items())
    )
    label = '<p class="cx-label">Examples, drawn by a program</p>'
    return f'<div class="cx">{label}<div class="cx-examples">{buttons}</div></div>'


def heat_rules(k: int) -> str:
    """CSS: the heatmap of the chosen one of k findings is shown."""
    shown = (f'.cx:has(input[name="cx"][value="{n}"]:checked) .cx-heat-{n}' for n in range(k))
    return ",".join(shown) + "{opacity:1}"
