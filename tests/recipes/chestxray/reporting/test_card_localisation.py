"""The section "Where it looks" is of these weights, stands in the card once, and never in somebody's own card."""

import json

import pytest

from chestxray.models.weights import digest_weights
from chestxray.reporting import card_localisation
from chestxray.scoring.localisation_result import as_json
from small_heatmaps import small_result


@pytest.fixture
def result():
    return small_result()


def write_numbers(folder, result, sha256, **about):
    numbers = as_json(result)
    numbers["about"] |= about
    numbers["about"]["models"][0]["sha256"] = sha256
    (folder / "explain").mkdir(exist_ok=True)
    (folder / "explain" / "localisation.json").write_text(json.dumps(numbers))


def test_only_numbers_of_these_weights_of_all_boxes_of_test_are_in_the_card(result, tmp_path):
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
