"""What `chestxray.data.radiology_reports` promises: findings and impression apart, however a report is headed."""

import doctest

import pytest

from chestxray.data import radiology_reports
from chestxray.data.radiology_reports import sections


def report(*lines):
    """A report as MIMIC-CXR writes it: a title, then every line behind one space, blank ones too."""
    return "\n".join([" " * 33 + "FINAL REPORT", *(f" {line}" for line in lines)]) + "\n"


def test_examples_in_the_docstrings_hold():
    found = doctest.testmod(radiology_reports)
    assert found.attempted >= 1 and not found.failed


def test_findings_and_impression_are_apart_each_on_one_line():
    text = report(
        "EXAMINATION:  CHEST (PORTABLE AP)",
        "",
        "INDICATION:  ___M with intubation // ET tube placement",
        "",
        "COMPARISON:  Chest radiograph ___",
        "",
        "FINDINGS: ",
        "",
        "Endotracheal tube tip terminates",
        "4 cm from the carina.  Heart size is normal.",
        "",
        "No pneumothorax.",
        "",
        "IMPRESSION: ",
        "",
        "1. Tube in place.",
        "2. No pneumothorax.",
        "",
        "NOTIFICATION:  Told to Dr. ___ at 8:01 AM.",
    )
    assert sections(text) == {
        "findings": "Endotracheal tube tip terminates 4 cm from the carina. Heart size is normal. No pneumothorax.",
        "impression": "1. Tube in place. 2. No pneumothorax.",
    }


@pytest.mark.parametrize(
    "heading",
    [
        "IMPRESSION",
        "CONCLUSION",
        "FINDINGS AND IMPRESSION",
        "FINDINGS/IMPRESSION",
        "IMPRESSON",
        "IMOPRESSION",
        "Impression",
    ],
)
def test_an_impression_has_many_headings(heading):
    found = sections(report("INDICATION: Cough.", "", f"{heading}: No pneumonia."))
    assert found == {"findings": None, "impression": "No pneumonia."}


@pytest.mark.parametrize(
    "heading",
    [
        "FINDINGS",
        "FINDING",
        "FINIDNGS",
        "CHEST, PA AND LATERAL",
        "PORTABLE AP CHEST RADIOGRAPH",
        "TWO VIEWS",
        "Findings",
    ],
)
def test_findings_have_many_headings(heading):
    found = sections(report("COMPARISON: ___.", "", f"{heading}: Lungs are clear.", "", "IMPRESSION: Normal."))
    assert found == {"findings": "Lungs are clear.", "impression": "Normal."}


@pytest.mark.parametrize("heading", ["COMPARISON", "INDICATION", "TYPE OF EXAMINATION, CHEST", "RECOMMENDATION(S)"])
def test_other_headings_end_a_section_and_are_neither(heading):
    found = sections(report("IMPRESSION: Normal.", "", f"{heading}: Something else."))
    assert found == {"findings": None, "impression": "Normal."}


def test_a_wet_read_is_no_impression():
    text = " WET READ: ___ 8:01 AM\n  Left lower lobe pneumonia.\n " + "_" * 20 + "\n" + report("IMPRESSION:  Clear.")
    assert sections(text) == {"findings": None, "impression": "Clear."}
    assert sections(text.replace("IMPRESSION:  ", "")) == {"findings": "Clear.", "impression": None}


def test_the_last_impression_counts_and_empty_ones_do_not():
    found = sections(report("IMPRESSION: First.", "", "IMPRESSION: Last.", "", "IMPRESSION:", ""))
    assert found["impression"] == "Last."
    titled = sections(report("CHEST, PA LATERAL:", "", "INDICATION:  Cough.", "", "FINDINGS:  Clear."))
    assert titled["findings"] == "Clear."


def test_closing_paragraphs_are_findings_where_nothing_says_so():
    found = sections(report("INDICATION:  Cough.", "", "PA and lateral views.", "Lungs are clear.", "", "No effusion."))
    assert found == {"findings": "PA and lateral views. Lungs are clear. No effusion.", "impression": None}
    assert sections(report("COMPARISON:  ___. Lungs are clear."))["findings"] == "___. Lungs are clear."


def test_a_report_without_headings_is_findings():
    assert sections("Lungs are clear.\nNo effusion.")["findings"] == "Lungs are clear. No effusion."
    assert sections(report("CHEST RADIOGRAPH", "", "Lungs are clear."))["findings"] == "Lungs are clear."  # no title
    assert sections(report("Lungs are clear.", "", "No effusion."))["findings"] == "Lungs are clear. No effusion."


@pytest.mark.parametrize("text", ["", "\n \n", report("INDICATION: Cough."), report()])
def test_a_report_that_says_nothing_has_neither(text):
    assert sections(text) == {"findings": None, "impression": None}


def test_a_heading_inside_a_line_is_none():
    found = sections(report("FINDINGS: As in the IMPRESSION: of ___.", "", "IMPRESSION: Normal."))
    assert found == {"findings": "As in the IMPRESSION: of ___.", "impression": "Normal."}
