"""What the page of a model's localisation, its contact sheet and the section of the card say."""

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from PIL import Image

from chestxray.data.boxed_images import FRAME, PLACE
from chestxray.images.splits import Split
from chestxray.reporting import card_localisation, contact_sheet, localisation_page
from chestxray.reporting.explain_options import ExplainOptions
from chestxray.scoring.boxed_heatmaps import BoxedHeatmaps
from chestxray.scoring.boxed_rows import BoxedRows
from chestxray.scoring.localisation_measures import RULES, Measure
from chestxray.scoring.localisation_result import BLIND, CHANCE, MODEL, as_json, localise_model

SIDE, WHOLE, COUNT = 16, 20, 12
ABOUT = {
    **{"findings": ["Mass", "Pleural_Thickening"], "grid": [4, 4], "whole": WHOLE, "side": SIDE, "method": "cam"},
    **{"dataset": "Radiographs", "source": "/home/someone/nih", "split": "test", "synthetic": False},
    **{"may_be_passed_on": True, "notes": ["Mind this."]},
    "models": [{"checkpoint": "/home/someone/runs/tiny", "sha256": "0123456789abcdef" + "f" * 48}],
}


def boxed_of(seed, **about):
    """Twelve images of as many patients, ten with a box of Mass and two of Pleural_Thickening; maps are noise."""
    random = np.random.default_rng(seed)
    maps = random.normal(size=(COUNT, 4, 4)).astype(np.float32)
    places = np.tile([0.5, 0.25, 0.25, 0.25], (COUNT, 1))
    images, patients = ([f"{kind}{number:02}" for number in range(COUNT)] for kind in ("images/", "p"))
    findings = np.array(["Mass"] * (COUNT - 2) + ["Pleural_Thickening"] * 2)
    table = pd.DataFrame({"row": range(COUNT), "image": images, "patient": patients, "finding": findings})
    table[PLACE], table[FRAME] = places * SIDE + (2, 2, 0, 0), WHOLE
    rows = BoxedRows(places, findings, images, patients)
    return BoxedHeatmaps(table, rows, maps, random.random(COUNT), ABOUT | about, Path("heatmaps.parquet"))


@pytest.fixture
def part():
    """The images: white where the model sees them, black at the edge."""
    pixels = np.pad(np.full((SIDE, SIDE), 255, np.uint8), 2)
    rows = Dataset.from_dict(
        {"image_file_path": [f"images/{number:02}" for number in range(COUNT)], "pixels": [pixels.tobytes()] * COUNT}
    )
    return Split(rows, np.zeros((COUNT, 2), np.float32), ["p"] * COUNT, WHOLE)


@pytest.fixture
def result():
    return localise_model(boxed_of(0), rival=boxed_of(1, method="grad-cam"), untrained=boxed_of(2))


# The page


def test_every_rule_row_and_note_is_on_the_page(result):
    page = localisation_page.markdown(result)
    assert all(words.split(":")[0] in page for words in RULES.values())
    assert "> Mind this." in page and "984 boxes in 880 test images" in page and "| image-blind |" in page
    assert page.count("| Pleural Thickening |") >= 8 and "random weights" in page
    assert "A is tiny by cam, B is tiny by grad-cam" in page
    assert "someone" not in page + localisation_page.html(result, b"")


def test_the_share_of_regions_stands_beside_its_false_positives(result):
    table = localisation_page.regions_table(result, "IoBB")
    share = result.value(MODEL, Measure("regions", "IoBB", 0.25), "Mass")["value"]
    false = result.value(MODEL, Measure("regions", "false positives, IoBB", 0.25), "Mass")["value"]
    assert table.rows[0][2] == f"{share:.3f} ({false:.2f})" and table.header[2] == "IoBB > 0.25"


def test_the_image_blind_row_finds_boxes_that_are_always_at_one_place(result):
    hit = Measure("peak", "hit")
    assert result.value(BLIND, hit)["value"] == 1 > result.value(CHANCE, hit)["value"]
    mean = localisation_page.without_image_table(result).rows[-1]
    assert mean[0] == "mean" and mean[2] == "1.000 (1.000 to 1.000)"


def test_a_page_without_a_rival_has_no_comparison(result):
    alone = replace(result, rival=None, comparison=None)
    assert "Against the other" not in localisation_page.markdown(alone)
    assert "A is" not in localisation_page.screen_text(alone)


@pytest.mark.parametrize("allowed", [True, False])
def test_the_contact_sheet_is_in_the_page_only_if_images_may_be_passed_on(allowed):
    result = localise_model(boxed_of(0, may_be_passed_on=allowed))
    page, text = localisation_page.html(result, b"the sheet"), localisation_page.markdown(result)
    assert ("data:image/png;base64,dGhlIHNoZWV0" in page) == ("](contact_sheet.png)" in text) == allowed
    assert ("may not be passed on" in page) == ("may not be passed on" in text) == (not allowed)


def test_the_numbers_name_no_image_patient_or_path(result):
    numbers = as_json(result)
    text = json.dumps(numbers, allow_nan=False)
    assert "images/" not in text and '"p0' not in text and "someone" not in text
    assert numbers["about"]["n_boxes"] == 12 and numbers["about"]["models"][0]["checkpoint"] == "tiny"
    assert {row["method"] for row in numbers["table"]} == set(result.methods)


# The contact sheet


def test_the_contact_sheet_shows_what_the_model_sees_best_boxes_first(result, part):
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


# The card


def write_numbers(folder, result, sha256, **about):
    numbers = as_json(result)
    numbers["about"] |= about
    numbers["about"]["models"][0]["sha256"] = sha256
    (folder / "explain").mkdir(exist_ok=True)
    (folder / "explain" / "localisation.json").write_text(json.dumps(numbers))


def test_only_numbers_of_these_weights_of_all_boxes_of_test_are_in_the_card(result, tmp_path):
    from chestxray.models.weights import digest_weights

    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert card_localisation.section(tmp_path) == card_localisation.section(None) == ""
    for wrong in ({"split": "validation"}, {"listed": True}):
        write_numbers(tmp_path, result, digest_weights(tmp_path), **wrong)
        assert card_localisation.section(tmp_path) == ""
    write_numbers(tmp_path, result, "of others")
    assert card_localisation.section(tmp_path) == ""
    write_numbers(tmp_path, result, digest_weights(tmp_path))
    section = card_localisation.section(tmp_path)
    assert section.startswith("## Where it looks\n") and "1.000 (1.000 to 1.000)" in section and "![" not in section


def test_a_card_that_somebody_wrote_by_hand_stays(result, tmp_path):
    from chestxray.models.weights import digest_weights

    (tmp_path / "model.safetensors").write_bytes(b"weights")
    write_numbers(tmp_path, result, digest_weights(tmp_path))
    assert card_localisation.update_card(tmp_path) == []
    card = tmp_path / "README.md"
    card.write_text("# Mine\n\n## Limits\n")
    assert card_localisation.update_card(tmp_path) == [] and card.read_text() == "# Mine\n\n## Limits\n"
    card.write_text(f"{card_localisation.MARK}\n\n# Ours\n\n## Limits\n\nNone.\n")
    assert card_localisation.update_card(tmp_path) == [card]
    once = card.read_text()
    assert once.index("# Ours") < once.index("## Where it looks") < once.index("## Limits\n\nNone.")
    card_localisation.update_card(tmp_path)
    assert card.read_text() == once


# Options


def test_options_refuse_a_comparison_of_a_model_with_itself(tmp_path):
    same = str(tmp_path)
    with pytest.raises(ValueError, match="is the model itself: give another model, or --against-method"):
        ExplainOptions(checkpoint=same, against=f"{same}/")
    with pytest.raises(ValueError, match="the method is cam on both sides"):
        ExplainOptions(checkpoint=same, method="cam", against_method="cam")
    ExplainOptions(checkpoint=same, method="cam", against="other", against_method="cam").refuse_same_method("cam")
    with pytest.raises(ValueError, match="the method is cam on both sides"):
        ExplainOptions(checkpoint=same, against_method="cam").refuse_same_method("cam")
    assert ExplainOptions(checkpoint=same).output == tmp_path / "explain"
