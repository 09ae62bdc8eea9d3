"""What `recipes/describe.py` promises: a card whose tables, numbers and figures are the metadata's."""

import csv
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections import Counter
from itertools import combinations

import datasets
import numpy as np
import pytest

import describe
from chestxray.reporting.description_places import PLACE
from chestxray.reporting.nih_pairs import NIH_FINDINGS, NIH_TABLE
from conftest import NIH, ROOT, write_release

needs_nih = pytest.mark.skipif(not NIH.is_dir(), reason="NIH's own files are not on this machine (../shared/nih)")
README = ROOT / "README.md"
FIGURES = ROOT / "data" / "figures"


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield


def copy_card(folder):
    shutil.copytree(FIGURES, folder / "data" / "figures")
    return shutil.copy(README, folder / "README.md")


@pytest.fixture
def card(tmp_path):
    """A copy of the card and its figures, to write to."""
    return copy_card(tmp_path / "copy")


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """(archive, card): a miniature release and the card describe.py made of it, to be read."""
    folder = tmp_path_factory.mktemp("described")
    archive, card = write_release(folder), copy_card(folder / "copy")
    assert describe.main([str(archive), "--readme", str(card)]) == 0
    return archive, card


@pytest.fixture
def small(described, tmp_path):
    """The same, and the card may be written to."""
    archive, card = described
    return archive, shutil.copytree(card.parent, tmp_path / "copy") / card.name


def places(card):
    return {name: content for _, name, content, _ in PLACE.findall(card.read_text())}


def cells(table):
    """{first cell: the other cells} of a Markdown table."""
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]
    del rows[1]  # the line of dashes
    return {row[0]: row[1:] for row in rows}


def change(card, old, new):
    text = card.read_text()
    assert old in text
    card.write_text(text.replace(old, new, 1))


# A miniature release, counted by hand


def test_a_card_just_written_is_up_to_date(small, capsys):
    archive, card = small
    assert describe.main([str(archive), "--readme", str(card), "--check"]) == 0
    assert "agree" in capsys.readouterr().out


def test_writing_twice_gives_the_same_bytes(small):
    archive, card = small
    files = [card, *sorted(card.parent.rglob("*.svg"))]
    before = [file.read_bytes() for file in files]
    assert len(files) == 6
    assert describe.main([str(archive), "--readme", str(card)]) == 0
    assert [file.read_bytes() for file in files] == before


def test_tables_are_those_of_the_release(small):
    found = places(small[1])
    assert cells(found["splits"])["images"] == ["5", "3", "8"]
    assert cells(found["splits"])["patients"] == ["4", "2", "6"]
    assert cells(found["splits"])["view AP"] == ["2 (40.0%)", "2 (66.7%)", "4 (50.0%)"]
    assert cells(found["splits"])["age, median (min to max)"] == ["74 (0 to 95)", "69 (62 to 69)", "69 (0 to 95)"]
    assert cells(found["label-distribution"])["Hernia"] == ["2", "25.00%", "0.117647"]  # 2 of 8 images, 2 of 17 labels
    assert cells(found["prevalence-shift"])["Infiltration"] == ["20.00%", "33.33%", "1.67"]
    assert cells(found["prevalence-shift"])["Edema"] == ["0.00%", "33.33%", ""]
    assert cells(found["images-per-patient"])["2"] == ["1", "25.0%", "40.0%", "1", "50.0%", "66.7%"]
    assert cells(found["boxes"])["Infiltration"] == ["1", "30 × 40"]


def test_co_occurrence_counts_pairs_and_findings_alone(small):
    table = cells(places(small[1])["co-occurrence"])
    names = list(table[""])
    assert table["Hernia"][names.index("Hernia")] == "2"
    assert table["Infiltration"][names.index("Infiltration")] == "1"  # the other one comes with Mass and Pneumonia
    assert table["Mass"][names.index("Pneumonia")] == table["Pneumonia"][names.index("Mass")] == "1"
    assert table["Mass"][names.index("Mass")] == "0"
    assert table["at all"][names.index("Infiltration")] == "2"


def test_sentences_quote_the_release(small):
    found = places(small[1])
    assert found["follow-up-rows"] == "2"  # 00000003_001 is follow-up 0 and 00000003_000 is follow-up 1
    assert (found["age-falls-by-file"], found["age-falls-by-follow-up"]) == ("1", "0")
    assert (found["unsorted-rows"], found["most-labels"]) == ("2", "6")
    assert (found["newlines-train"], found["newlines-test"]) == ("4", "2")
    assert "[9, 3]" in found["instance"]


@pytest.mark.parametrize(
    "place, old, new",
    [
        ("label-distribution", "| Hernia | 2 | 25.00%", "| Hernia | 3 | 25.00%"),
        ("splits", "| patients | 4 |", "| patients | 5 |"),
        ("follow-up-rows", "follow-up-rows -->2<", "follow-up-rows -->3<"),
        ("figure-age-by-sex-and-view", "Histograms", "Histogram"),
        ("n-images", "<!-- begin: n-images -->8<", "<!-- begin: n-images -->9<"),
    ],
)
def test_check_names_the_place_where_something_changed_and_writes_nothing(small, capsys, place, old, new):
    archive, card = small
    change(card, old, new)
    changed = card.read_text()
    assert describe.main([str(archive), "--readme", str(card), "--check"]) == 1
    assert re.search(f"out of date: {place}$", capsys.readouterr().err, re.MULTILINE)
    assert card.read_text() == changed


def test_check_names_a_figure_that_is_gone_or_shows_other_numbers(small, capsys):
    archive, card = small
    figures = card.parent / "data" / "figures"
    (figures / "co-occurrence.svg").unlink()
    shutil.copy(FIGURES / "prevalence-shift.svg", figures)
    assert describe.main([str(archive), "--readme", str(card), "--check"]) == 1
    assert "out of date: data/figures/co-occurrence.svg, data/figures/prevalence-shift.svg" in capsys.readouterr().err


def test_a_card_without_a_place_is_refused(small):
    archive, card = small
    change(card, "<!-- begin: splits -->", "<!-- begin: split -->")
    with pytest.raises(ValueError, match="no place .* for splits"):
        describe.main([str(archive), "--readme", str(card)])


def test_text_outside_its_places_is_left_alone(small):
    def outside(card):
        return PLACE.sub("", card.read_text())

    assert outside(small[1]) == outside(README)


# The card in this repository


def test_every_place_of_the_card_is_one_that_is_filled(small):
    archive, _ = small
    builder = describe.NIHChestXray("metadata", data_dir=str(archive))
    builder.download_and_prepare()
    data = describe.read_metadata(builder.as_dataset())
    known = set(describe.card_blocks(builder.as_dataset(), data, archive))
    known |= set(describe.description_figures.figure_blocks(data, describe.FIGURES))
    assert set(places(README)) == known


def test_label_counts_and_shares_are_the_published_cards():
    table = cells(places(README)["label-distribution-by-split"])
    published = json.loads((ROOT / "tests" / "published_counts.json").read_text())
    for label in published["train"]:
        counts = [int(table[label][column].replace(",", "")) for column in (0, 3)]
        assert counts == [published["train"][label], published["test"][label]]
    assert [table["No Finding"][column] for column in (2, 5)] == ["0.483392", "0.266032"]
    assert cells(places(README)["label-distribution"])["Infiltration"][2] == "0.140557"


DRAWN = {"sample-report.png", "sample-where-it-looks.png"}  # of the synthetic sample, made by hand


def test_figures_of_the_metadata_are_vectors_and_hold_no_picture():
    figures = sorted(path for path in FIGURES.iterdir() if path.name not in DRAWN)
    assert len(figures) == 5
    for figure in figures:
        assert figure.suffix == ".svg" and figure.stat().st_size < 150_000
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(figure).iter()}
        assert "text" in tags and "image" not in tags


def test_nihs_table_is_a_table_of_pairs():
    *pairs, totals = (list(map(int, line.split())) for line in NIH_TABLE.strip().splitlines())
    assert np.array_equal(pairs, np.transpose(pairs))
    assert len(totals) == len(NIH_FINDINGS) == 14
    assert totals[0] == 11535 and pairs[13][13] == 110


# NIH's own metadata


@needs_nih
def test_the_card_agrees_with_nihs_metadata_and_a_changed_number_does_not(card, nih_metadata, monkeypatch, capsys):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", nih_metadata)
    change(card, "| Hernia | 227 |", "| Hernia | 228 |")
    assert describe.main([str(NIH), "--readme", str(card), "--check"]) == 1
    assert "out of date: label-distribution\n" in capsys.readouterr().err


@needs_nih
def test_numbers_of_the_card_are_those_of_a_second_count():
    with open(NIH / "Data_Entry_2017_v2020.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    found = places(README)
    labels = [row[1].split("|") for row in rows]
    assert found["follow-up-rows"] == f"{sum(int(row[0][9:12]) != int(row[2]) for row in rows):,}"
    assert found["unsorted-rows"] == f"{sum(cell != sorted(cell) for cell in labels)}"
    assert found["label-strings"] == str(len({row[1] for row in rows}))
    assert found["oldest"] == str(max(int(row[4]) for row in rows))
    assert found["one-pa-per-patient"] == f"{len({row[3] for row in rows if row[6] == 'PA'}):,}"
    pairs = Counter(pair for cell in labels for pair in combinations(sorted(cell), 2))
    alone = Counter(cell[0] for cell in labels if len(cell) == 1)
    table = cells(found["co-occurrence"])
    names = [name.replace(" ", "_") for name in table.pop("")]
    assert table.pop("at all") and len(table) == 14
    for name, counts in table.items():
        expected = [alone[name] if name == other else pairs[tuple(sorted((name, other)))] for other in names]
        assert [int(count.replace(",", "")) for count in counts] == expected
