"""What the page of a model's localisation says, and what localisation.json does not."""

import json
from dataclasses import replace

import pytest

from chestxray.reporting import localisation_page
from chestxray.scoring.localisation_measures import RULES, Measure
from chestxray.scoring.localisation_result import BLIND, CHANCE, MODEL, as_json, localise_model
from small_heatmaps import boxed_of, small_result


@pytest.fixture
def result():
    return small_result()


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


def test_the_page_the_screen_and_the_numbers_say_how_far_the_model_is_from_the_image_blind_row(result):
    hit = Measure("peak", "hit")
    difference = result.value(MODEL, hit)["value"] - result.value(BLIND, hit)["value"]
    row = localisation_page.beyond_blind_table(result).rows[len(result.findings)]
    assert row[:2] == ["mean", "hit"] and row[4] == f"{difference:+.3f}" and difference < 0
    assert f"less image-blind, on the same boxes: hit {difference:+.3f} (" in localisation_page.screen_text(result)
    assert f"| {difference:+.3f} |" in localisation_page.markdown(result)
    found = [row for row in as_json(result)["beyond_blind"] if (row["finding"], row["rule"]) == ("mean", "peak")]
    assert found[0]["difference"] == pytest.approx(difference)


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
