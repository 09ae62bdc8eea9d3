"""The contact sheet shows what the model sees, the best boxes first, and no box twice."""

from io import BytesIO

import numpy as np
from PIL import Image

from chestxray.reporting import contact_sheet
from chestxray.scoring.localisation_measures import Measure
from chestxray.scoring.localisation_result import MODEL
from small_heatmaps import SIDE, boxed_of, images_of_boxes, small_result


def test_the_contact_sheet_shows_what_the_model_sees_best_boxes_first():
    result, part = small_result(), images_of_boxes()
    picture = Image.open(BytesIO(contact_sheet.draw(boxed_of(0), result, part))).convert("L")
    assert picture.width == 1200
    image = contact_sheet.read_view(part, 3, SIDE)
    assert image.shape == (SIDE, SIDE) and (image == 255).all()
    line = np.arange(8)  # stands for the row's axes
    iou = result.methods[MODEL].column(Measure("one box", "IoU"))
    tiles = list(contact_sheet.tiles_of(line, "Mass", result))
    assert [(plain, heat) for plain, heat, _ in tiles] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert iou[tiles[0][2]] == iou[:10].max() and iou[tiles[-1][2]] == iou[:10].min()
    few = list(contact_sheet.tiles_of(line, "Pleural_Thickening", result))
    assert sorted(row for _, _, row in few) == [10, 11], "no box is shown twice"
