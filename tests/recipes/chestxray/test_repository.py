"""Presets and sample are found in a clone and in an installed package; what only a clone has is named."""

import pytest

from chestxray import repository
from conftest import ROOT


def test_in_a_clone_they_are_the_clones():
    assert repository.CLONE == ROOT
    assert repository.PRESETS == ROOT / "recipes" / "configs" and repository.SAMPLE == ROOT / "data" / "sample"
    assert repository.clone_path("README.md") == ROOT / "README.md"


def test_an_installed_package_says_what_it_lacks(monkeypatch):
    """tests/test_package.py asks a package that is really installed."""
    monkeypatch.setattr(repository, "CLONE", None)
    with pytest.raises(FileNotFoundError, match="has no data/figures. Clone the repository"):
        repository.clone_path("data/figures")
