"""The contact sheet: for each finding the best and the worst boxes, with image and heatmap.

It shows images, so it is shared only where the dataset may be. No name of an image or a patient is in it.
"""

import io
from collections.abc import Iterator

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from chestxray.data.datasets_internals import column
from chestxray.images.splits import Split
from chestxray.reporting.figure_style import BLUE, ORANGE, style
from chestxray.reporting.heatmap_overlay import blend, colour_maps
from chestxray.scoring.boxed_heatmaps import BoxedHeatmaps
from chestxray.scoring.localisation_measures import Measure
from chestxray.scoring.localisation_result import MODEL, Localisation
from chestxray.scoring.scorecard import SYNTHETIC

EACH = 2  # best boxes of a finding, and worst ones
TILE = 1.5  # inches


def draw(boxed: BoxedHeatmaps, result: Localisation, part: Split) -> bytes:
    """A PNG with a row per finding. Each box has two tiles: the image, and the heatmap over it.

    Args:
        part: the images of the heatmaps, as the model gets them.
    """
    names = result.findings
    with matplotlib.rc_context({**style(7), "axes.edgecolor": "none"}):
        picture, written = Figure(figsize=(4 * EACH * TILE, (TILE + 0.2) * len(names) + 0.5)), io.BytesIO()
        picture.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
        grid = picture.subplots(len(names), 4 * EACH, squeeze=False)
        for axes in grid.flat:
            axes.set(xticks=[], yticks=[])
        tiles = [pair for line, name in zip(grid, names, strict=True) for pair in tiles_of(line, name, result)]
        draw_boxes(tiles, boxed, result, part)
        for line, name in zip(grid, names, strict=True):
            line[0].set_ylabel(name.replace("_", " "))
        synthetic = f". {SYNTHETIC}" if result.about.get("synthetic") else ""
        picture.suptitle(f"Best and worst boxes. Blue: true, orange: detected{synthetic}")
        picture.savefig(written, format="png", dpi=100, facecolor="white", metadata={"Software": None})
    return written.getvalue()


def tiles_of(line: np.ndarray, finding: str, result: Localisation) -> Iterator[tuple[Axes, Axes, int]]:
    """(axes of the image, axes of the heatmap, row of the box): the best boxes to the left, the worst to the right.

    Boxes are ordered by the IoU of the one detected box. A finding with few boxes leaves tiles in the middle empty.
    """
    rows = np.flatnonzero(result.rows.findings == finding)
    iou = result.methods[MODEL].column(Measure("one box", "IoU"))[rows]
    order = rows[np.argsort(-iou, kind="stable")]
    n_best, n_worst = min(EACH, -(-len(order) // 2)), min(EACH, len(order) // 2)
    places = [*range(n_best), *range(2 * EACH - n_worst, 2 * EACH)]
    for place, row in zip(places, [*order[:n_best], *order[len(order) - n_worst :]], strict=True):
        yield line[2 * place], line[2 * place + 1], int(row)


def draw_boxes(tiles: list[tuple[Axes, Axes, int]], boxed: BoxedHeatmaps, result: Localisation, part: Split) -> None:
    """Draw the two tiles of each box."""
    model, position = result.methods[MODEL], positions_of(part)
    iou = model.column(Measure("one box", "IoU"))
    for plain, overlaid, row in tiles:
        image = read_view(part, position[str(boxed.rows.images[row])], boxed.about["side"])
        (colours,) = colour_maps(boxed.maps[row : row + 1], len(image), boxed.places)
        plain.imshow(image, cmap="gray", vmin=0, vmax=255)
        overlaid.imshow(blend(image, colours))
        for axes in (plain, overlaid):
            draw_box(axes, boxed.rows.boxes[row], len(image), BLUE)
        draw_box(overlaid, model.boxes[row], len(image), ORANGE)
        plain.set_title(f"probability {boxed.probabilities[row]:.2f}", pad=2)
        overlaid.set_title(f"IoU {iou[row]:.2f}", pad=2)


def positions_of(part: Split) -> dict[str, int]:
    """{image_file_path: row}"""
    return {path: row for row, path in enumerate(column(part.rows, "image_file_path").to_pylist())}


def read_view(part: Split, row: int, side: int) -> np.ndarray:
    """The middle of an image, which the model sees: (side, side) uint8."""
    pixels = part.batches().__getitems__([row])["pixels"][0, 0].numpy()
    edge = (part.size - side) // 2
    return pixels[edge : edge + side, edge : edge + side]


def draw_box(axes: Axes, box: np.ndarray, side: int, colour: str) -> None:
    """A box in units of the view on an image with this side in pixels; nothing where it is NaN."""
    if not np.isnan(box).any():
        x, y, width, height = box * side
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), width, height, fill=False, edgecolor=colour, linewidth=1.2))
    axes.set(xlim=(-0.5, side - 0.5), ylim=(side - 0.5, -0.5))
