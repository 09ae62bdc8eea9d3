"""The form of the Space, without Gradio: what it shows first, and what it says of a mistake."""

import json
import runpy
import shutil
import sys
from types import SimpleNamespace

import pytest

from conftest import ROOT
from multilabel_auroc import auroc_report


class FormError(Exception):
    """In place of `gradio.Error`."""


@pytest.fixture
def app(tmp_path, monkeypatch):
    """The names in app.py, run in a folder of another name, as a Space is."""
    shutil.copytree(ROOT / "recipes" / "multilabel_auroc", tmp_path / "space")
    keep = {name: lambda *args, **kwargs: (args, kwargs) for name in ("Interface", "Textbox", "JSON")}
    monkeypatch.setitem(sys.modules, "gradio", SimpleNamespace(Error=FormError, **keep))
    return runpy.run_path(str(tmp_path / "space" / "app.py"))


def test_the_form_reports_its_own_example(app):
    fields = [app[name] for name in ("SCORES", "REFERENCES", "PATIENTS")]
    assert app["report"](*fields) == auroc_report(*map(json.loads, fields))
    assert app["report"](*fields[:2], "") == auroc_report(*map(json.loads, fields[:2]))


def test_the_form_says_what_is_wrong(app):
    with pytest.raises(FormError, match="references is 2 in row 0, column 1"):
        app["report"](app["SCORES"], app["REFERENCES"].replace("0", "2", 1), "")


def test_the_form_shows_the_metric_card_without_its_front_matter(app):
    article = app["demo"][1]["article"]
    assert article.lstrip().startswith("# Metric card")
